// Group norm in ATen's operators: for other devices and dtypes, and as the oracle. 16-bit floats are computed in float32.
#include "kernels/group-norm-operators.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

at::ScalarType wideTypeOf(const Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

/** x + shift as (B, P, G, C / G). */
Tensor shiftedGroups(const GroupNormOperands& o) {
  const at::ScalarType type = wideTypeOf(o.x);
  Tensor x = o.x.to(type).reshape({o.batch(), o.pixels(), o.channels()});
  if (o.shift.defined()) x = x + o.shift.to(type).unsqueeze(1);
  return x.reshape({o.batch(), o.pixels(), o.groups, o.ofGroup()});
}

Tensor sumOfPixels(const Tensor& x) { return x.is_cpu() ? x.transpose(1, 2).contiguous().sum(2) : x.sum(1); }  // (B, P, C) -> (B, C)

}  // namespace

GroupNormResult groupNormReference(const GroupNormOperands& o) {
  const Tensor x = shiftedGroups(o), byGroup = x.transpose(1, 2).reshape({o.batch(), o.groups, o.pixels() * o.ofGroup()});  // (B, G, P C / G)
  const Tensor mean = byGroup.mean(-1), variance = byGroup.var(-1, /*unbiased=*/false), scale = variance.add(o.eps).rsqrt();
  const auto ofGroups = [&](const Tensor& t) { return t.view({o.batch(), 1, o.groups, 1}); };
  const auto ofChannels = [&](const Tensor& t) { return t.to(x.scalar_type()).view({o.groups, o.ofGroup()}); };
  Tensor y = (x - ofGroups(mean)) * ofGroups(scale) * ofChannels(o.weight) + ofChannels(o.bias);
  if (o.silu) y = at::silu(y);
  return {y.to(o.x.scalar_type()).reshape(o.x.sizes()), at::stack({mean, scale}, -1)};
}

GroupNormGradients groupNormBackwardReference(const Tensor& upstream, const Tensor& statistics, const GroupNormOperands& o) {
  const Tensor x = shiftedGroups(o);
  const auto ofGroups = [&](int64_t which) { return statistics.select(-1, which).view({o.batch(), 1, o.groups, 1}); };
  const auto ofChannels = [&](const Tensor& t) { return t.to(x.scalar_type()).view({o.groups, o.ofGroup()}); };
  const Tensor n = (x - ofGroups(0)) * ofGroups(1), weight = ofChannels(o.weight);
  Tensor d = upstream.to(x.scalar_type()).reshape(x.sizes());
  if (o.silu) d = at::silu_backward(d, n * weight + ofChannels(o.bias));
  const Tensor g = d * weight;
  const auto meanOfGroup = [](const Tensor& t) { return t.mean({1, 3}, /*keepdim=*/true); };
  const Tensor dx = (g - meanOfGroup(g) - n * meanOfGroup(g * n)) * ofGroups(1);
  const auto pixelSums = [&](const Tensor& t) { return sumOfPixels(t.reshape({o.batch(), o.pixels(), o.channels()})); };  // (B, C)
  const auto toWeights = [&](const Tensor& t) { return pixelSums(t).sum(0).to(o.weight.scalar_type()); };
  return {dx.to(o.x.scalar_type()).reshape(o.x.sizes()), o.shift.defined() ? pixelSums(dx).to(o.shift.scalar_type()) : Tensor(), toWeights(d * n),
          toWeights(d)};
}

}  // namespace hearth
