// What every head of a call of hearth::attention shares: its layout, and which keys each query sees.
#include "kernels/attention-plan.h"

#include <algorithm>

namespace hearth {

namespace {

using at::Tensor;

/** What each query of one text sees; `document` may be null. */
void rangesOf(const AttentionArguments& a, const int64_t* document, KeyRange* ranges) {
  const int64_t S = a.keys(), first = S - a.queries(), window = std::min(a.window, S);
  int64_t start = 0, end = document == nullptr ? S : 0;
  for (int64_t p = 0; p < S; ++p) {
    if (document != nullptr && p >= end) {
      start = p;
      for (end = p + 1; end < S && document[end] == document[p];) ++end;
    }
    if (p < first) continue;
    const int64_t from = window > 0 ? std::max(start, p - window + 1) : start;
    const int64_t to = a.causal ? p + 1 : window > 0 ? std::min(end, p + window) : end;
    ranges[p - first] = {static_cast<int32_t>(from), static_cast<int32_t>(to)};
  }
  // Queries before the first key, which only a query that sees everything may be.
  for (int64_t t = 0; t < -first; ++t) ranges[t] = {0, static_cast<int32_t>(S)};
}

Tensor visibleKeys(const AttentionArguments& a) {
  static_assert(sizeof(KeyRange) == sizeof(int64_t));
  const Tensor documents = a.hasDocuments() ? a.documents->to(at::kLong).contiguous() : Tensor();
  const int64_t rows = a.hasDocuments() ? a.batch() : 1;
  const Tensor visible = at::empty({rows, a.queries()}, at::TensorOptions().dtype(at::kLong));
  for (int64_t b = 0; b < rows; ++b)
    rangesOf(a, a.hasDocuments() ? dataOf<int64_t>(documents) + b * a.keys() : nullptr, static_cast<KeyRange*>(visible.data_ptr()) + b * a.queries());
  return visible;
}

}  // namespace

AttentionPlan planOf(const AttentionArguments& a) {
  const auto& table = attentionTable();
  const int64_t padded = inWhole(table.panel, a.width());
  const int64_t row = padded / 16 % 2 == 1 ? padded : padded + 16;  // an odd number of cache lines, as kTileRow
  AttentionPlan plan{a, table, {a.width(), padded, row, 0, nullptr, nullptr}, {}, {}, visibleKeys(a)};
  if (a.turns()) {
    plan.cos = a.cos->to(at::kFloat).contiguous();
    plan.sin = a.sin->to(at::kFloat).contiguous();
    plan.layout.rotaryDims = plan.cos.size(1);
    plan.layout.cos = dataOf<float>(plan.cos);
    plan.layout.sin = dataOf<float>(plan.sin);
  }
  return plan;
}

}  // namespace hearth
