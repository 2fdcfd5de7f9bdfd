// See winograd-product.h. Tiles of the image are transformed and packed for a slab of tiles, weights for a chunk of output
// channels, so that both stay in the last cache; then each thread takes blocks of both, makes the 36 products of a block
// into sums that stay in its second cache, and transforms those.
#include "kernels/conv/winograd-product.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "kernels/conv/winograd.h"
#include "kernels/gemm/choice.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

/** A block: 36 × 24 × 96 sums are 324 KiB. Both are whole panels in every form. */
constexpr int64_t kBlockTiles = 24, kBlockColumns = 96;
/** Floats of a slab and of a chunk, and words of depth that are multiplied at a time. */
constexpr int64_t kSlabFloats = int64_t{1} << 22, kChunkFloats = int64_t{1} << 22, kBlockWords = 160;
/** Tiles of a slab are a multiple of what is packed at once and of a block's. */
constexpr int64_t kTileStep = 48;
/** Channels are a multiple of every form's vectors. */
constexpr int64_t kChannelStep = 16;
/** With fewer tiles to use them, transforming the weights takes longer than is won. */
constexpr int64_t kLeastTiles = 16;

int64_t dividedUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t roundedUp(int64_t a, int64_t b) { return dividedUp(a, b) * b; }

template <typename T>
const WinogradLoops<T>& loopsOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return winogradTable().float32;
  else return winogradTable().bfloat16;
}

/** Floats from one place to the next, a little apart, so that the same element of all 36 places finds room in the first cache. */
int64_t placeStrideOf(int64_t floats) { return roundedUp(floats, 1024) + 32; }

/** Panels of `rows` rows for each of the 36 places, block of depth after block of depth. */
struct PackedPlaces {
  int64_t rows, depth, panelRows, placeStride;
  Tensor memory;

  PackedPlaces(int64_t rows, int64_t depth, int64_t panelRows)
      : rows(rows), depth(depth), panelRows(panelRows), placeStride(placeStrideOf(rows * depth)),
        memory(at::empty({kWinogradPlaces * placeStride}, at::kFloat)) {}

  float* at(int64_t place, int64_t word, int64_t words, int64_t row) const { return dataOf<float>(memory) + place * placeStride + word * rows + row * words; }
  WinogradPanels panels(int64_t word, int64_t words, int64_t row) const { return {at(0, word, words, row), placeStride, words * panelRows, panelRows}; }
};

/** work(first word, words) for each block of depth. */
template <typename Work>
void eachDepth(int64_t depth, Work work) {
  const int64_t block = roundedUp(dividedUp(depth, dividedUp(depth, kBlockWords)), kChannelStep);
  for (int64_t word = 0; word < depth; word += block) work(word, std::min(block, depth - word));
}

struct Tiles {
  int64_t batch, down, across;

  explicit Tiles(const WinogradImage& i)
      : batch(i.image.size(0)), down(dividedUp(i.outHeight, kWinogradOut)), across(dividedUp(i.outWidth, kWinogradOut)) {}
  int64_t count() const { return batch * down * across; }
};

/** Points `to` to the 36 pixels of a tile, or to zeros. */
template <typename T>
void pixelsOf(const WinogradImage& from, const Tiles& tiles, int64_t tile, const T* zeros, const T** to) {
  const int64_t H = from.image.size(1), W = from.image.size(2), C = from.image.size(3), shift = from.upsample ? 1 : 0;
  const int64_t b = tile / tiles.across / tiles.down;
  const int64_t y = tile / tiles.across % tiles.down * kWinogradOut - from.top, x = tile % tiles.across * kWinogradOut - from.left;
  for (int64_t i = 0; i < kWinogradPlaces; ++i) {
    const int64_t atY = y + i / kWinogradSide, atX = x + i % kWinogradSide;
    const bool inside = tile < tiles.count() && atY >= 0 && atY < H << shift && atX >= 0 && atX < W << shift;
    to[i] = inside ? dataOf<T>(from.image) + ((b * H + (atY >> shift)) * W + (atX >> shift)) * C : zeros;
  }
}

template <typename T>
void packTiles(const WinogradImage& from, const Tiles& tiles, int64_t first, const PackedPlaces& to) {
  const int64_t lanes = winogradTable().lanes;
  const Tensor zeros = at::zeros({to.depth}, from.image.options());
  at::parallel_for(0, to.rows / lanes, 1, [&](int64_t begin, int64_t end) {
    std::vector<const T*> pixels(lanes * kWinogradPlaces), atWord(pixels.size());
    for (int64_t group = begin; group < end; ++group) {
      for (int64_t i = 0; i < lanes; ++i) pixelsOf(from, tiles, first + group * lanes + i, dataOf<T>(zeros), pixels.data() + i * kWinogradPlaces);
      eachDepth(to.depth, [&](int64_t word, int64_t words) {
        std::transform(pixels.begin(), pixels.end(), atWord.begin(), [=](const T* pixel) { return pixel + word; });
        loopsOf(static_cast<T*>(nullptr)).image(atWord.data(), words, to.panels(word, words, group * lanes));
      });
    }
  });
}

/** Columns from `first` on; rows of R beyond the last become zeros. */
template <typename T>
void packWeights(const WinogradKernel& from, int64_t first, const PackedPlaces& to) {
  const int64_t I = from.weight.size(3), ofRow = from.turned ? 1 : 9 * I, ofDepth = from.turned ? 9 * I : 1;
  const T* const data = dataOf<T>(from.weight) + (from.turned ? 8 * I : 0);
  at::parallel_for(0, to.rows / to.panelRows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t row = first + panel * to.panelRows;
      eachDepth(to.depth, [&](int64_t word, int64_t words) {
        const WinogradWeights<T> part{data + row * ofRow + word * ofDepth, from.columns() - row, ofRow, ofDepth, from.turned ? -I : I};
        loopsOf(static_cast<T*>(nullptr)).weights(part, words, to.panels(word, words, panel * to.panelRows));
      });
    }
  });
}

struct Block {
  int64_t tile, tiles, column, columns;
};

struct Task {
  const GemmKernel& kernel;
  const WinogradImage& image;
  const Tiles& tiles;
  const PackedPlaces &left, &right;
  int64_t firstTile, firstColumn;
  const Finish& finish;
};

/** Gives the sums of one tile to the pixels that there are. */
void finishTile(const Task& task, int64_t tile, int64_t column, int64_t columns, const float* sums) {
  const int64_t across = task.tiles.across, b = tile / across / task.tiles.down;
  const int64_t y = tile / across % task.tiles.down * kWinogradOut, x = tile % across * kWinogradOut;
  for (int64_t i = 0; i < kWinogradOut && y + i < task.image.outHeight; ++i)
    for (int64_t j = 0; j < kWinogradOut && x + j < task.image.outWidth; ++j)
      task.finish((b * task.image.outHeight + y + i) * task.image.outWidth + x + j, column, columns, sums + (i * kWinogradOut + j) * columns);
}

void computeBlock(const Task& task, const Block& block, float* sums, float* out) {
  const int64_t placeStride = placeStrideOf(kBlockTiles * kBlockColumns), panels = dividedUp(block.tiles, task.kernel.leftRows);
  for (int64_t place = 0; place < kWinogradPlaces; ++place) {
    eachDepth(task.left.depth, [&](int64_t word, int64_t words) {
      const auto* left = reinterpret_cast<const uint32_t*>(task.left.at(place, word, words, block.tile));
      const auto* right = reinterpret_cast<const uint32_t*>(task.right.at(place, word, words, block.column));
      task.kernel.multiply({left, right, panels, block.columns, words, sums + place * placeStride, kBlockColumns, word == 0});
    });
  }
  for (int64_t i = 0; i < block.tiles; ++i) {
    winogradTable().sums(sums + i * kBlockColumns, placeStride, block.columns, out);
    finishTile(task, task.firstTile + block.tile + i, task.firstColumn + block.column, block.columns, out);
  }
}

/** All blocks of a slab and a chunk; each thread takes the next when it is done with one. */
void computeChunk(const Task& task, int64_t tiles, int64_t columns) {
  const int64_t down = dividedUp(tiles, kBlockTiles), blocks = down * dividedUp(columns, kBlockColumns);
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), blocks), ofSums = kWinogradPlaces * placeStrideOf(kBlockTiles * kBlockColumns);
  const Tensor space = at::empty({threads, ofSums + kWinogradOut * kWinogradOut * kBlockColumns}, at::kFloat);
  std::atomic<int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](int64_t thread, int64_t) {
    float* const sums = dataOf<float>(space) + thread * space.size(1);
    for (int64_t i = next++; i < blocks; i = next++) {
      const int64_t tile = i % down * kBlockTiles, column = i / down * kBlockColumns;
      computeBlock(task, {tile, std::min(kBlockTiles, tiles - tile), column, std::min(kBlockColumns, columns - column)}, sums, sums + ofSums);
    }
  });
}

}  // namespace

bool winogradPays(const GemmKernel& kernel, const WinogradImage& image, const WinogradKernel& weights) {
  const bool byVectors = &kernel == &gemmTable().floats || &kernel == &gemmTable().widened;
  const int64_t tiles = Tiles(image).count(), pixels = image.image.size(0) * image.outHeight * image.outWidth;
  const bool wholeVectors = weights.columns() % kChannelStep == 0 && weights.depth() % kChannelStep == 0;
  return byVectors && wholeVectors && weights.columns() >= 2 * kChannelStep && weights.depth() >= 2 * kChannelStep && tiles >= kLeastTiles &&
         tiles * kWinogradPlaces * 2 <= pixels * 9;
}

void winogradProduct(const WinogradImage& image, const WinogradKernel& weights, const Finish& finish) {
  const GemmKernel& kernel = gemmTable().floats;
  const Tiles tiles(image);
  const int64_t depth = weights.depth(), ofRow = kWinogradPlaces * depth, columns = weights.columns();
  const int64_t slab = std::min(roundedUp(tiles.count(), kTileStep), std::max(kTileStep, kSlabFloats / ofRow / kTileStep * kTileStep));
  const int64_t chunk = std::min(roundedUp(columns, kernel.rightRows), std::max<int64_t>(kernel.rightRows, kChunkFloats / ofRow / kernel.rightRows * kernel.rightRows));
  const PackedPlaces left(slab, depth, kernel.leftRows), right(chunk, depth, kernel.rightRows);
  withElementsOf(image.image, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    for (int64_t tile = 0; tile < tiles.count(); tile += slab) {
      packTiles<T>(image, tiles, tile, left);
      for (int64_t column = 0; column < columns; column += chunk) {
        packWeights<T>(weights, column, right);
        computeChunk({kernel, image, tiles, left, right, tile, column, finish}, std::min(slab, tiles.count() - tile), std::min(chunk, columns - column));
      }
    }
  });
}

}  // namespace hearth
