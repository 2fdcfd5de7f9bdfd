// The product of a tile, C = A B or C += A B in float32, of operands that lie in the cache: as many sums as the registers
// hold, each broadcast element of A meeting two vectors of B. For `*.simd.cc` files alone. Not here: large matrices,
// which are cut into such tiles, and how operands are packed.
#pragma once
#include "kernels/simd/tile-operands.h"
#include "kernels/simd/vector.h"

namespace hearth {

namespace {

constexpr int kPanel = 2 * kLanes;
#if defined(__AVX512F__)
constexpr int kSumRows = 12;  // 24 sums in 32 registers
#else
constexpr int kSumRows = 6;  // 12 sums in 16 registers
#endif

template <bool Add, int Rows>
HEARTH_INLINE void productOfRows(LeftTile a, RightTile b, int64_t depth, float* out, int64_t outRow) {
  Vector sums[Rows][2];
#pragma GCC unroll 12
  for (int i = 0; i < Rows; ++i) {
    if constexpr (Add) sums[i][0] = load(out + i * outRow), sums[i][1] = load(out + i * outRow + kLanes);
    else sums[i][0] = sums[i][1] = Vector{};
  }
  for (int64_t d = 0; d < depth; ++d) {
    const Vector left = load(b.data + d * b.depth), right = load(b.data + d * b.depth + kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < Rows; ++i) {
      const Vector x = broadcast(a.data[d * a.depth + i * a.row]);
      sums[i][0] = multiplyAdd(x, left, sums[i][0]);
      sums[i][1] = multiplyAdd(x, right, sums[i][1]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < Rows; ++i) {
    store(out + i * outRow, sums[i][0]);
    store(out + i * outRow + kLanes, sums[i][1]);
  }
}

/** productOfRows for the rows that are left over, at most `Rows`. */
template <bool Add, int Rows>
HEARTH_INLINE void productOfRest(int64_t rows, LeftTile a, RightTile b, int64_t depth, float* out, int64_t outRow) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return productOfRows<Add, Rows>(a, b, depth, out, outRow);
    productOfRest<Add, Rows - 1>(rows, a, b, depth, out, outRow);
  }
}

template <bool Add>
void productOfPanels(int64_t rows, int64_t columns, int64_t depth, LeftTile a, RightTile b, float* out, int64_t outRow) {
  for (int64_t column = 0; column < columns; column += kPanel, b.data += b.panel) {
    LeftTile at = a;
    int64_t row = 0;
    for (; row + kSumRows <= rows; row += kSumRows, at.data += kSumRows * a.row)
      productOfRows<Add, kSumRows>(at, b, depth, out + row * outRow + column, outRow);
    productOfRest<Add, kSumRows - 1>(rows - row, at, b, depth, out + row * outRow + column, outRow);
  }
}

/**
 * out (rows, columns), outRow apart, = A (rows, depth) B (depth, columns), plus what was there where `add`.
 * @param columns a multiple of kPanel
 */
void tileProduct(int64_t rows, int64_t columns, int64_t depth, LeftTile a, RightTile b, float* out, int64_t outRow, bool add) {
  if (add) return productOfPanels<true>(rows, columns, depth, a, b, out, outRow);
  productOfPanels<false>(rows, columns, depth, a, b, out, outRow);
}

}  // namespace
}  // namespace hearth
