// The matrix product of the matrix unit: 32 by 32 sums in four tiles, two tiles of L and two of R for each 32 of depth.
// Four products take 64 cycles and their four loads 32 from the first cache, but 4 KiB from the second take longer than
// the products: so a panel of R (32 KiB at 512 of depth) stays in the first cache while the panels of L pass by, each
// fetched a step ahead.
#include "kernels/gemm/tiles.h"
#include "kernels/gemm/words.h"

namespace hearth {

namespace {

constexpr int kSide = 32;
constexpr int kStepWords = kTileWords;
constexpr int64_t kTile = kTileRows * kTileWords;

/** Packs 32 rows of L tile by tile: for each 16 words of depth, two tiles, row by row. */
void packTiles(const Operand& from, const PackTask& task) {
  for (int64_t row = task.firstPanel * kSide; row < task.lastPanel * kSide; row += kLanes) {
    uint32_t* const panel = task.to + row / kSide * task.words * kSide + row % kSide * kTileWords;
    for (int64_t word = 0; word < task.words; word += kLanes) {
      Vector square[kLanes];
      squareOf<PairWords, Order::byRow>(from, row, (task.word + word) * 2, square);
      uint32_t* const to = panel + word / kStepWords * 2 * kTile + word % kStepWords;
      for (int i = 0; i < kLanes; ++i) store((float*)to + i * kTileWords, square[i]);
    }
  }
}

/** Adds `words` of depth to 32 by 32 of C. */
template <typename Unit>
HEARTH_INLINE void addProducts(Unit& unit, const uint32_t* left, const uint32_t* right, const BlockTask& task, float* sums) {
  const int64_t row = task.sumsStride * 4;
  float* const lower = sums + kTileRows * task.sumsStride;
  if (task.first) {
    unit.template zero<0>(), unit.template zero<1>(), unit.template zero<2>(), unit.template zero<3>();
  } else {
    unit.template load<0>(sums, row), unit.template load<1>(sums + 16, row);
    unit.template load<2>(lower, row), unit.template load<3>(lower + 16, row);
  }
  for (int64_t word = 0; word < task.words; word += kStepWords, left += 2 * kTile, right += kStepWords * kSide) {
#pragma GCC unroll 32
    for (int line = 0; line < 2 * kTile; line += 16) __builtin_prefetch(left + 2 * kTile + line);
    unit.template load<4>(left, 64);
    unit.template load<6>(right, kSide * 4);
    unit.template multiply<0, 4, 6>();
    unit.template load<7>(right + 16, kSide * 4);
    unit.template multiply<1, 4, 7>();
    unit.template load<5>(left + kTile, 64);
    unit.template multiply<2, 5, 6>();
    unit.template multiply<3, 5, 7>();
  }
  unit.template store<0>(sums, row), unit.template store<1>(sums + 16, row);
  unit.template store<2>(lower, row), unit.template store<3>(lower + 16, row);
}

template <typename Unit>
void multiply(const BlockTask& task) {
  Unit unit;
  for (int64_t column = 0; column < task.columns; column += kSide)
    for (int64_t panel = 0; panel < task.leftPanels; ++panel)
      addProducts(unit, task.left + panel * kSide * task.words, task.right + column * task.words, task,
                  task.sums + panel * kSide * task.sumsStride + column);
}

/** The left block takes 256 KiB and the sums 1 MiB of the second cache, which has 2 MiB where there is AMX. */
template <typename Unit>
constexpr GemmKernel kernelOf() {
  return {kSide, kSide, 2, 2 * kStepWords, 256, 256 / kSide, 1024 / kSide, packTiles, packPanels<PairWords, kSide>, multiply<Unit>};
}

}  // namespace

#if defined(__x86_64__)
extern const TilesTable HEARTH_TABLE(tilesTable) = {kernelOf<MatrixUnit>(), kernelOf<EmulatedUnit>()};
#else
extern const TilesTable HEARTH_TABLE(tilesTable) = {kernelOf<EmulatedUnit>(), kernelOf<EmulatedUnit>()};
#endif

}  // namespace hearth
