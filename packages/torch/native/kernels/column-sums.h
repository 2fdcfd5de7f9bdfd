// Sums over the rows of a matrix, for gradients of biases and of the weights of norms: every column in float32 and in
// the order of its rows, so that threads may share the columns as they like.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

struct ColumnSumsTable {
  /** sums[c] += rows[0][c] + rows[1][c] + ...; a row begins `stride` elements after the one before. */
  void (*float32)(const float* rows, int64_t stride, int64_t rowCount, int64_t columns, float* sums);
  void (*bfloat16)(const BFloat16* rows, int64_t stride, int64_t rowCount, int64_t columns, float* sums);
};

HEARTH_FORMS(ColumnSumsTable, columnSumsTable)

}  // namespace hearth
