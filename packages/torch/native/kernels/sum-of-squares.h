// The loop of gradient-norm.cc, one table a form; see simd/forms.h.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** The sum of the squares of `count` elements, in float32: for as many as keep its error small. */
struct SumOfSquaresTable {
  float (*float32)(const float* x, int64_t count);
  float (*bfloat16)(const BFloat16* x, int64_t count);
};

HEARTH_FORMS(SumOfSquaresTable, sumOfSquaresTable)

}  // namespace hearth
