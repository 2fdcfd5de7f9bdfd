// How the two operands of simd/tile-product.h lie in memory, for those who only call it.
#pragma once
#include <stdint.h>

namespace hearth {

/** The left operand, anywhere in memory: element (i, d) is data[i * row + d * depth]. */
struct LeftTile {
  const float* data;
  int64_t row, depth;
};

/** The right operand, in panels of P columns: element (d, j) is data[j / P * panel + d * depth + j % P]. */
struct RightTile {
  const float* data;
  int64_t depth, panel;
};

}  // namespace hearth
