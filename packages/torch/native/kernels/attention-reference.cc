// hearth::attention of ATen's operators, with the whole matrix of scores: for other devices and dtypes, for
// HEARTH_KERNELS=reference, and what the kernel is tested against.
#include <cmath>
#include <limits>

#include "kernels/attention-operator.h"

namespace hearth {

namespace {

using at::Tensor;

/** libtorch 1.13 sums products of bfloat16 on a CPU in bfloat16: there they are widened, and rounded once at the end. */
Tensor widened(const Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x; }

/** (B, ..., S, R) turned; `sign` -1 turns back. */
Tensor turned(const Tensor& x, const AttentionArguments& a, int64_t sign) {
  if (!a.turns()) return x;
  const int64_t dims = a.cos->size(1), first = a.keys() - x.size(2);
  const Tensor cos = a.cos->slice(0, first).to(x.scalar_type()), sin = a.sin->slice(0, first).to(x.scalar_type());
  const Tensor turning = x.slice(3, 0, dims);
  const Tensor other = sign > 0 ? turning.roll(dims / 2, 3) * sin : (turning * sin).roll(dims / 2, 3);
  return at::cat({turning * cos + other, x.slice(3, dims)}, 3);
}

/** (T, S) or (B, 1, T, S): true where a query may not look; undefined where it may look everywhere. */
Tensor hidden(const AttentionArguments& a) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(a.q.device());
  const Tensor position = at::arange(a.keys() - a.queries(), a.keys(), options).unsqueeze(1), key = at::arange(a.keys(), options);
  const Tensor none = at::zeros({a.queries(), a.keys()}, options.dtype(at::kBool));
  Tensor result = a.causal ? none | (key > position) : none;
  if (a.window > 0) result = result | ((key - position).abs() >= a.window);
  if (!a.hasDocuments()) return result;
  const Tensor number = a.documents->to(options);
  const Tensor run = at::cat({at::zeros({a.batch(), 1}, options), number.diff().ne(0).cumsum(1)}, 1).slice(1, 0, a.keys());  // (B, S)
  return result | run.slice(1, a.keys() - a.queries()).unsqueeze(2).ne(run.unsqueeze(1)).unsqueeze(1);
}

/** (B, K, S, E) → (B, H, S, E). */
Tensor eachHead(const Tensor& x, const AttentionArguments& a) { return x.repeat_interleave(a.heads() / a.keyHeads(), 1); }

/** (B, H, T, S) → each key head's sum over the query heads that read it. */
Tensor sumOverGroups(const Tensor& x, const AttentionArguments& a) {
  return x.reshape({a.batch(), a.keyHeads(), a.heads() / a.keyHeads(), x.size(2), x.size(3)}).sum(2);
}

Tensor scoresOf(const Tensor& q, const Tensor& k, const AttentionArguments& a) {
  const Tensor scores = at::matmul(q * a.scale, eachHead(k, a).transpose(2, 3));  // (B, H, T, S)
  return scores.masked_fill(hidden(a), -std::numeric_limits<double>::infinity());
}

}  // namespace

TwoTensors attentionReference(const AttentionArguments& a) {
  const Tensor q = turned(widened(a.q), a, 1), k = turned(widened(a.k), a, 1);
  const Tensor scores = scoresOf(q, k, a);
  const Tensor logsumexp = scores.logsumexp(-1);
  const Tensor out = at::matmul(scores.softmax(-1), eachHead(widened(a.v), a));
  return {emptyLike(a.q).copy_(out), logsumexp};
}

ThreeTensors attentionBackwardReference(const AttentionResults& results, const AttentionArguments& a) {
  const Tensor q = turned(widened(a.q), a, 1), k = turned(widened(a.k), a, 1), dy = widened(results.upstream);
  const Tensor shares = scoresOf(q, k, a).softmax(-1);
  const Tensor dots = (dy * widened(results.out)).sum(-1, true);
  const Tensor slopes = shares * (at::matmul(dy, eachHead(widened(a.v), a).transpose(2, 3)) - dots) * a.scale;
  const Tensor dq = turned(at::matmul(slopes, eachHead(k, a)), a, -1);
  const Tensor dk = turned(sumOverGroups(at::matmul(slopes.transpose(2, 3), q), a), a, -1);
  const Tensor dv = sumOverGroups(at::matmul(shares.transpose(2, 3), dy), a);
  return {emptyLike(a.q).copy_(dq), emptyLike(a.k).copy_(dk), emptyLike(a.v).copy_(dv)};
}

}  // namespace hearth
