// hearth::attend_pages in ATen's operators, text by text: for other devices and dtypes, and the oracle of the tests. And
// the checks that both forms need.
#include <ATen/TensorIndexing.h>

#include "kernels/pages/attend-pages-operands.h"

namespace hearth {

namespace {

using at::Tensor;
using at::indexing::Slice;

/** (R): x with its halves in each other's place, as rotary positions need it. */
Tensor turned(const Tensor& x, const c10::optional<Tensor>& cos, const c10::optional<Tensor>& sin) {
  if (!cos.has_value()) return x;
  const int64_t dims = cos->size(1);
  const Tensor part = x.narrow(2, 0, dims), c = cos->to(x.scalar_type()).unsqueeze(1), s = sin->to(x.scalar_type()).unsqueeze(1);
  return at::cat({part * c + part.roll({dims / 2}, {2}) * s, x.narrow(2, dims, x.size(2) - dims)}, 2);
}

/** Keys (pages, K, E', 16) and values (pages, K, 16, E') as views of the pages. */
Tensor sideOf(const PagedOperands& o, int64_t side) {
  const Tensor part = o.pages.select(2, side);
  const int64_t width = o.paddedWidth();
  return side == 0 ? part.unflatten(2, {width, kPageTokens}) : part.unflatten(2, {kPageTokens, width}).transpose(2, 3);
}

void writeSide(const PagedOperands& o, int64_t side, const Tensor& rows, const Tensor& page, const Tensor& slot) {
  Tensor kept = rows;
  if (o.units.has_value()) {
    const Tensor unit = rows.abs().amax({2}) / 127;  // (N, K)
    o.units->select(2, side).index_put_({page, Slice(), slot}, unit.to(at::kFloat));
    kept = (rows / unit.unsqueeze(2)).nan_to_num(0).round();
  }
  sideOf(o, side).index_put_({page, Slice(), Slice(0, o.width()), slot}, kept.to(o.pages.scalar_type()));
}

/** (K, S, E) of a text's tokens from the page `first` on, in the dtype of q. */
Tensor readSide(const PagedOperands& o, int64_t side, const Tensor& pages) {
  Tensor read = sideOf(o, side).index_select(0, pages).to(o.q.scalar_type());  // (M, K, E', 16)
  if (o.units.has_value()) read = read * o.units->select(2, side).index_select(0, pages).to(read.scalar_type()).unsqueeze(2);
  return read.permute({1, 0, 3, 2}).flatten(1, 2).narrow(2, 0, o.width());
}

Tensor attendText(const PagedOperands& o, const TextSpan& span, const Tensor& q, const Tensor& k, const Tensor& v) {
  const Tensor table = o.tables.select(0, span.text).to(at::kLong).to(q.device());
  const Tensor at = at::arange(span.position, span.position + span.rows, q.options().dtype(at::kLong));
  const Tensor page = table.index_select(0, at.floor_divide(kPageTokens)), slot = at.remainder(kPageTokens);
  writeSide(o, 0, k, page, slot);
  writeSide(o, 1, v, page, slot);
  const int64_t least = o.window > 0 ? std::max<int64_t>(0, span.position - o.window + 1) / kPageTokens : 0;
  const int64_t last = (span.position + span.rows + kPageTokens - 1) / kPageTokens;
  const Tensor pages = table.narrow(0, least, last - least);
  const int64_t group = q.size(1) / k.size(1);
  const Tensor keys = readSide(o, 0, pages).repeat_interleave(group, 0), values = readSide(o, 1, pages).repeat_interleave(group, 0);
  const Tensor behind = at.unsqueeze(1) - at::arange(least * kPageTokens, last * kPageTokens, at.options());  // (rows, S)
  const Tensor hidden = behind.lt(0).logical_or(o.window > 0 ? behind.ge(o.window) : at::zeros_like(behind, at::kBool));
  const Tensor scores = (at::matmul(q.transpose(0, 1), keys.transpose(1, 2)) * o.scale).masked_fill(hidden, -INFINITY);
  // What nobody sees was perhaps never written.
  const Tensor unseen = hidden.all(0).view({1, -1, 1});
  return at::matmul(at::softmax(scores, -1), values.masked_fill(unseen, 0)).transpose(0, 1);  // (rows, H, E)
}

}  // namespace

std::vector<TextSpan> checkedSpans(const PagedOperands& o) {
  const bool rows = o.q.dim() == 3 && o.k.dim() == 3 && o.v.sizes() == o.k.sizes() && o.k.size(0) == o.q.size(0) && o.k.size(2) == o.q.size(2) &&
                    o.k.size(1) > 0 && o.q.size(1) % o.k.size(1) == 0 && o.q.scalar_type() == o.k.scalar_type() && o.q.scalar_type() == o.v.scalar_type();
  TORCH_CHECK(rows, "hearth::attend_pages: q must be (N, H, E), k and v (N, K, E) of one dtype, K a divisor of H, got ", o.q.sizes(), ", ", o.k.sizes(), " and ", o.v.sizes());
  const auto dtype = o.pages.scalar_type();
  const bool bytes = dtype == at::kChar;
  TORCH_CHECK(o.pages.dim() == 4 && o.pages.size(1) == o.k.size(1) && o.pages.size(2) == 2 && o.pages.size(3) == kPageTokens * o.paddedWidth() &&
                  o.pages.is_contiguous() && (bytes || dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble),
              "hearth::attend_pages: pages must be (pages, ", o.k.size(1), ", 2, ", kPageTokens * o.paddedWidth(), ") of float32, bfloat16 or int8, got ", dtype, o.pages.sizes());
  TORCH_CHECK(o.units.has_value() == bytes && (!bytes || (o.units->sizes() == at::IntArrayRef({o.pages.size(0), o.k.size(1), 2, kPageTokens}) &&
                                                          o.units->scalar_type() == at::kFloat && o.units->is_contiguous())),
              "hearth::attend_pages: pages of int8, and no others, have float32 units (pages, K, 2, 16)");
  const auto fits = [&](const c10::optional<Tensor>& x) { return x.has_value() && x->dim() == 2 && x->size(0) == o.q.size(0) && x->size(1) % 2 == 0 && x->size(1) <= o.width(); };
  TORCH_CHECK((!o.cos.has_value() && !o.sin.has_value()) || (fits(o.cos) && fits(o.sin) && o.cos->sizes() == o.sin->sizes()),
              "hearth::attend_pages: cos and sin must be (N, R), R even and at most E");
  const auto isTable = [](const Tensor& x) { return x.dim() == 2 && x.scalar_type() == at::kInt && x.device().is_cpu() && x.is_contiguous(); };
  TORCH_CHECK(isTable(o.tables) && isTable(o.spans) && o.spans.size(1) == 3 && o.spans.size(0) == o.tables.size(0),
              "hearth::attend_pages: tables (texts, pages) and spans (texts, 3) must be int32 on the CPU, got ", o.tables.sizes(), " and ", o.spans.sizes());
  std::vector<TextSpan> spans;
  int64_t row = 0;
  for (int64_t text = 0; text < o.spans.size(0); ++text) {
    const int32_t* const span = o.spans.data_ptr<int32_t>() + 3 * text;
    const int32_t* const table = o.tables.data_ptr<int32_t>() + text * o.tables.size(1);
    const int64_t position = span[2], end = position + span[1];
    TORCH_CHECK(span[0] == row && span[1] > 0 && position >= 0 && end <= o.tables.size(1) * kPageTokens,
                "hearth::attend_pages: text ", text, " has rows from ", span[0], ", ", span[1], " of them, at position ", position, ", and room for ", o.tables.size(1) * kPageTokens);
    row += span[1];
    const int64_t least = o.window > 0 ? std::max<int64_t>(0, position - o.window + 1) : 0;
    for (int64_t page = least / kPageTokens; page * kPageTokens < end; ++page)
      TORCH_CHECK(table[page] >= 0 && table[page] < o.pages.size(0), "hearth::attend_pages: page ", page, " of text ", text, " is ", table[page], " of ", o.pages.size(0));
    spans.push_back({text, span[0], span[1], position});
  }
  TORCH_CHECK(row == o.q.size(0), "hearth::attend_pages: the spans have ", row, " rows, got ", o.q.sizes());
  return spans;
}

Tensor attendPagesReference(const PagedOperands& given) {
  const std::vector<TextSpan> spans = checkedSpans(given);
  // Arithmetic in float32, and one rounding at the end.
  const auto wide = [](const Tensor& x) { return x.element_size() == 2 ? x.to(at::kFloat) : x; };
  const Tensor q = turned(wide(given.q), given.cos, given.sin), k = turned(wide(given.k), given.cos, given.sin), v = wide(given.v);
  const PagedOperands o{q, k, v, given.pages, given.units, given.tables, given.spans, given.scale, given.window, given.cos, given.sin};
  std::vector<Tensor> outs;
  for (const TextSpan& span : spans) {
    const auto rows = [&](const Tensor& x) { return x.narrow(0, span.firstRow, span.rows); };
    outs.push_back(attendText(o, span, rows(q), rows(k), rows(v)));
  }
  return at::cat(outs).to(given.q.scalar_type());
}

}  // namespace hearth
