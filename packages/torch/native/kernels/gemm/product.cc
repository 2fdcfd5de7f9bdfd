// See product.h. R is packed in chunks of 4 MiB, more where the depth is great, by all threads together. C is divided into blocks, each computed by one
// thread from the first to the last of depth; the thread packs its part of L as it goes, into a space that stays in the second
// cache, because packing all of L first would send it through memory twice more.
#include "kernels/gemm/product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace hearth {

namespace {

constexpr int64_t kChunkWords = int64_t{1} << 20;
/** A chunk has as many columns at least: for each chunk all of L is packed again, which takes as long as 20 to 30 columns of sums. */
constexpr int64_t kLeastChunkColumns = 384;
/** Words that are worth waking another thread to pack. */
constexpr int64_t kPackGrain = 1 << 15;

/** Fewer leave threads idle at the end; fewer rows of a block use what is fetched of R too little. */
constexpr int64_t kBlocksOfThread = 6, kLeastBlockRows = 64;

int64_t dividedUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t roundedUp(int64_t a, int64_t b) { return dividedUp(a, b) * b; }
uint32_t* wordsOf(const at::Tensor& tensor) { return static_cast<uint32_t*>(tensor.data_ptr()); }

/** Depth in words, and the blocks it is cut into, all alike but the last. */
struct Depth {
  int64_t words, block;

  Depth(const GemmKernel& kernel, int64_t depth) {
    const int64_t step = kernel.depthStep / kernel.wordDepth;
    words = roundedUp(depth, kernel.depthStep) / kernel.wordDepth;
    const int64_t blocks = std::max<int64_t>(1, dividedUp(words, kernel.blockWords));
    block = std::max(step, roundedUp(dividedUp(words, blocks), step));
  }

  /** work(first word, words) for each block; once for no depth at all. */
  template <typename Work>
  void eachBlock(Work work) const {
    int64_t word = 0;
    do {
      work(word, std::min(block, words - word));
      word += block;
    } while (word < words);
  }
};

Operand rowsFrom(Operand operand, int64_t row) {
  operand.data = static_cast<const char*>(operand.data) + row * operand.rowStride * operand.elementSize;
  operand.rows -= row;
  return operand;
}

/** R, of which one chunk of panels is packed at a time: block of depth after block of depth, in each panel after panel. */
class Right {
 public:
  Right(const GemmKernel& kernel, const Side& side, const Depth& depth) : kernel_(kernel), side_(side), depth_(depth) {
    const int64_t all = dividedUp(side.rows, kernel.rightRows), ofPanel = std::max<int64_t>(1, depth.words * kernel.rightRows);
    const int64_t chunks = dividedUp(all, std::max(kLeastChunkColumns / kernel.rightRows, kChunkWords / ofPanel));
    chunk_ = dividedUp(all, chunks);
    packed_ = at::empty({chunk_ * ofPanel}, at::kInt);
  }

  int64_t rowsOfChunk() const { return chunk_ * kernel_.rightRows; }

  void pack(int64_t firstRow) {
    panels_ = std::min(chunk_, dividedUp(side_.rows - firstRow, kernel_.rightRows));
    const int64_t grain = std::max<int64_t>(1, kPackGrain / std::max<int64_t>(1, depth_.words * kernel_.rightRows));
    at::parallel_for(0, panels_, grain, [&](int64_t first, int64_t last) {
      depth_.eachBlock([&](int64_t word, int64_t words) { side_.pack(firstRow, {first, last, word, words, at(0, word, words)}); });
    });
  }

  int64_t panels() const { return panels_; }

  /** A panel of the packed chunk, at a block of depth. */
  uint32_t* at(int64_t panel, int64_t word, int64_t words) const {
    return wordsOf(packed_) + (word * panels_ + panel * words) * kernel_.rightRows;
  }

 private:
  const GemmKernel& kernel_;
  const Side& side_;
  Depth depth_;
  int64_t chunk_, panels_ = 0;
  at::Tensor packed_;
};

/**
 * How many panels of L and of a chunk of R make a block of C; no sum depends on it. Each thread takes the next block when it is
 * done with one, so that a core that others use as well does not hold up the rest.
 */
struct Division {
  int64_t leftBlocks, rightBlocks, leftPanels, rightPanels;

  Division(const GemmKernel& kernel, int64_t left, int64_t right) {
    const int64_t threads = at::get_num_threads();
    rightBlocks = dividedUp(right, kernel.blockRightPanels);
    const int64_t wanted = threads == 1 ? 1 : dividedUp(kBlocksOfThread * threads, rightBlocks);
    leftBlocks = std::min(dividedUp(left * kernel.leftRows, kLeastBlockRows), std::max(dividedUp(left, kernel.blockLeftPanels), wanted));
    if (leftBlocks * rightBlocks < threads) rightBlocks = std::min(right, dividedUp(threads, leftBlocks));
    leftPanels = dividedUp(left, leftBlocks);
    rightPanels = dividedUp(right, rightBlocks);
    leftBlocks = dividedUp(left, leftPanels);
    rightBlocks = dividedUp(right, rightPanels);
  }
};

/** What one thread works with. */
struct Space {
  uint32_t* left;
  float* sums;
};

struct Task {
  const GemmKernel& kernel;
  const Side& left;
  const Right& right;
  const Depth& depth;
  const Division& division;
  /** Columns of C before this chunk of R, and in it. */
  int64_t firstColumn, columns;
  const Finish& finish;
};

void computeBlock(const Task& task, int64_t index, const Space& space) {
  const GemmKernel& kernel = task.kernel;
  const int64_t row = index % task.division.leftBlocks * task.division.leftPanels * kernel.leftRows;
  const int64_t panel = index / task.division.leftBlocks * task.division.rightPanels, stride = task.division.rightPanels * kernel.rightRows;
  const int64_t rows = std::min(task.division.leftPanels * kernel.leftRows, task.left.rows - row);
  const int64_t columns = std::min(stride, task.columns - panel * kernel.rightRows), leftPanels = dividedUp(rows, kernel.leftRows);
  task.depth.eachBlock([&](int64_t word, int64_t words) {
    task.left.pack(row, {0, leftPanels, word, words, space.left});
    kernel.multiply({space.left, task.right.at(panel, word, words), leftPanels, columns, words, space.sums, stride, word == 0});
  });
  const int64_t column = task.firstColumn + panel * kernel.rightRows;
  for (int64_t r = 0; r < rows; ++r) task.finish(row + r, column, columns, space.sums + r * stride);
}

void computeChunk(const Task& task) {
  const int64_t rows = task.division.leftPanels * task.kernel.leftRows, threads = at::get_num_threads();
  const at::Tensor packed = at::empty({threads, rows * std::max<int64_t>(1, task.depth.block)}, at::kInt);
  const at::Tensor sums = at::empty({threads, rows * task.division.rightPanels * task.kernel.rightRows}, at::kFloat);
  const int64_t blocks = task.division.leftBlocks * task.division.rightBlocks;
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min(threads, blocks), 1, [&](int64_t thread, int64_t) {
    const Space space{wordsOf(packed) + thread * packed.size(1), sums.data_ptr<float>() + thread * sums.size(1)};
    for (int64_t block = next++; block < blocks; block = next++) computeBlock(task, block, space);
  });
}

}  // namespace

Side leftSide(const GemmKernel& kernel, const Operand& operand) {
  return {operand.rows, operand.depth, [&](int64_t row, const PackTask& task) { kernel.packLeft(rowsFrom(operand, row), task); }};
}

Side rightSide(const GemmKernel& kernel, const Operand& operand) {
  return {operand.rows, operand.depth, [&](int64_t row, const PackTask& task) { kernel.packRight(rowsFrom(operand, row), task); }};
}

void product(const GemmKernel& kernel, const Operand& left, const Operand& right, const Finish& finish) {
  product(kernel, leftSide(kernel, left), rightSide(kernel, right), finish);
}

void product(const GemmKernel& kernel, const Side& left, const Side& right, const Finish& finish) {
  if (left.rows == 0 || right.rows == 0) return;
  const Depth depth(kernel, left.depth);
  Right packed(kernel, right, depth);
  for (int64_t column = 0; column < right.rows; column += packed.rowsOfChunk()) {
    packed.pack(column);
    const Division division(kernel, dividedUp(left.rows, kernel.leftRows), packed.panels());
    computeChunk({kernel, left, packed, depth, division, column, std::min(packed.rowsOfChunk(), right.rows - column), finish});
  }
}

}  // namespace hearth
