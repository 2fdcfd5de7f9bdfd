// hearth::attention on a CPU, forward: which tiles there are and who computes them. The loops over a tile are in
// attention.simd.cc. Every tile of queries is computed whole by one thread in one order, so the bits of the result do
// not depend on how many threads there are.
#include "kernels/attention-plan.h"

namespace hearth {

namespace {

using at::Tensor;

template <typename T>
void forwardPieces(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, const Tensor& logsumexp) {
  const int64_t H = plan.a.heads(), Q = plan.a.queries(), offset = plan.a.keys() - Q, row = plan.layout.row;
  const int64_t tiles = (Q + kQueryTile - 1) / kQueryTile;
  at::parallel_for(0, plan.a.batch() * H * tiles, grainOf(plan, std::min(Q, kQueryTile)), [&](int64_t begin, int64_t end) {
    PackedKeys<T> packed(plan, k, v, false);
    const Tensor scratch = plan.scratch(kTileFloats + 2 * kQueryTile * row);
    float *scores = dataOf<float>(scratch), *queryRows = scores + kTileFloats, *outRows = queryRows + kQueryTile * row;
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t b = piece / tiles / H, h = piece / tiles % H, first = piece % tiles * kQueryTile;
      const int64_t count = std::min(kQueryTile, Q - first);
      packed.hold(b, h / plan.group());
      packingOf<T>(plan.table).pack(plan.layout, rowsOf<const T>(q, b, h, first, count, offset, true), plan.a.scale, queryRows);
      plan.table.forward(plan.layout, plan.table.products,
                         {count, plan.visibleIn(b) + first, queryRows, packed.keyPanels(), packed.valueRows(), scores, outRows,
                          dataOf<float>(logsumexp) + (b * H + h) * Q + first});
      packingOf<T>(plan.table).unpack(plan.layout, outRows, 1, 0, 1, rowsOf<T>(out, b, h, first, count, 0, false));
    }
  });
}

}  // namespace

TwoTensors attentionKernel(const AttentionArguments& a) {
  const AttentionPlan plan = planOf(a);
  const Tensor q = readable(a.q), k = readable(a.k), v = readable(a.v), out = emptyLike(q);
  const Tensor logsumexp = at::empty({a.batch(), a.heads(), a.queries()}, q.options().dtype(at::kFloat));
  withElementsOf(q, [&](auto* element) { forwardPieces<std::remove_pointer_t<decltype(element)>>(plan, q, k, v, out, logsumexp); });
  return {out, logsumexp};
}

}  // namespace hearth
