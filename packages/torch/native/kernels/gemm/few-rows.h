// Products of a few rows with a whole weight, as in generating single tokens: see few-rows.simd.cc.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** The most rows of one task. */
constexpr int64_t kFewRows = 7;
/** The most rows of L, in several tasks; with more, packing pays. */
constexpr int64_t kRowsInPlace = 32;

/** sums (rows, columns), `sumsStride` apart, = x Wᵀ for some rows of W. */
template <typename T>
struct FewRowsTask {
  /** (rows, depth) float32, one row behind the other. */
  const float* x;
  int64_t rows, depth;
  /** (columns, depth), rows `weightStride` apart, each contiguous. */
  const T* weight;
  int64_t weightStride, columns;
  float* sums;
  int64_t sumsStride;
};

struct FewRowsTable {
  void (*float32)(const FewRowsTask<float>& task);
  void (*bfloat16)(const FewRowsTask<BFloat16>& task);
};

HEARTH_FORMS(FewRowsTable, fewRowsTable)

}  // namespace hearth
