// The operands of hearth::attend_pages, and its form in ATen's operators.
#pragma once
#include <ATen/ATen.h>

#include "kernels/pages/attend-pages.h"

namespace hearth {

struct PagedOperands {
  /** (N, H, E), (N, K, E), (N, K, E): rows of all texts, one text's behind the other's. */
  const at::Tensor &q, &k, &v;
  /** (pages, K, 2, 16 · E'), E' the width padded to a multiple of 16: float32, bfloat16, float64 or int8. */
  const at::Tensor& pages;
  /** (pages, K, 2, 16) float32, with int8. */
  const c10::optional<at::Tensor>& units;
  /** (texts, most pages) int32. */
  const at::Tensor& tables;
  /** (texts, 3) int32: number of the first row, rows, position of the first row. */
  const at::Tensor& spans;
  double scale;
  int64_t window;
  /** (N, R), the first half of `sin` negated. */
  const c10::optional<at::Tensor>&cos, &sin;

  int64_t width() const { return q.size(2); }
  int64_t paddedWidth() const { return (width() + kPageTokens - 1) / kPageTokens * kPageTokens; }
};

struct TextSpan {
  int64_t text, firstRow, rows, position;
};

/** The spans, after everything was checked: shapes, dtypes, and that all pages that are seen are there. */
std::vector<TextSpan> checkedSpans(const PagedOperands& operands);

at::Tensor attendPagesReference(const PagedOperands& operands);

}  // namespace hearth
