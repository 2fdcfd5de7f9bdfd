// The norms in ATen's operators: for other devices and dtypes, and as the oracle. 16-bit floats are computed in float32.
#include "kernels/norm-operators.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

at::ScalarType wideTypeOf(const Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace

NormResult normReference(const NormOperands& operands) {
  const at::ScalarType type = wideTypeOf(operands.x);
  const Tensor sum = operands.residual.defined() ? operands.x + operands.residual : operands.x, wide = sum.to(type);
  const Tensor mean = operands.centred ? wide.mean(-1, /*keepdim=*/true) : at::zeros({1}, wide.options());
  const Tensor centred = operands.centred ? wide - mean : wide;
  const Tensor scale = centred.square().mean(-1, /*keepdim=*/true).add_(operands.eps).rsqrt_();
  Tensor normed = centred.mul(scale).mul_(operands.weight.to(type));
  if (operands.bias.defined()) normed.add_(operands.bias.to(type));
  const Tensor statistics = at::stack({mean.expand_as(scale).reshape({-1}), scale.reshape({-1})}, 1);  // (rows, 2)
  return {operands.residual.defined() ? sum : Tensor(), normed.to(sum.scalar_type()), statistics};
}

NormGradients normBackwardReference(const NormUpstream& upstream) {
  const at::ScalarType type = wideTypeOf(upstream.sum);
  const int64_t width = upstream.weight.numel();
  const auto inRows = [&](const Tensor& tensor) { return tensor.to(type).reshape({-1, width}); };
  const Tensor dy = inRows(upstream.normedUpstream), scale = upstream.statistics.narrow(1, 1, 1);
  const Tensor n = (inRows(upstream.sum) - upstream.statistics.narrow(1, 0, 1)) * scale, g = dy * upstream.weight.to(type);
  Tensor gradient = g - n * (g * n).mean(-1, /*keepdim=*/true);
  if (upstream.centred) gradient.sub_(g.mean(-1, /*keepdim=*/true));
  gradient = gradient.mul_(scale).view(upstream.sum.sizes());
  if (upstream.sumUpstream.defined()) gradient.add_(upstream.sumUpstream);
  const auto ofWeights = [&](const Tensor& rows) { return sumOfRows(rows).to(upstream.weight.scalar_type()); };
  return {gradient.to(upstream.sum.scalar_type()), ofWeights(dy * n), upstream.hasBias ? ofWeights(dy) : Tensor()};
}

}  // namespace hearth
