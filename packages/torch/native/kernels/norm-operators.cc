// Registration of hearth::rms_norm and hearth::layer_norm and their gradients; what they compute is in norm.cc.
#include "kernels/norm-operators.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace hearth {

namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using TwoTensors = std::tuple<Tensor, Tensor>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor orUndefined(const OptionalTensor& tensor) { return tensor.has_value() ? *tensor : Tensor(); }

void checkOperands(const NormOperands& operands) {
  const Tensor &x = operands.x, &weight = operands.weight, &residual = operands.residual, &bias = operands.bias;
  TORCH_CHECK(x.dim() > 0 && weight.dim() == 1 && weight.numel() > 0 && x.size(-1) == weight.numel() && at::isFloatingType(x.scalar_type()),
              "hearth norm: x must be floats (..., width) and weight (width), got ", x.scalar_type(), x.sizes(), " and ", weight.sizes());
  TORCH_CHECK(!residual.defined() || (residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type()),
              "hearth norm: residual must be like x, got ", residual.defined() ? residual.sizes() : at::IntArrayRef(), " for ", x.sizes());
  TORCH_CHECK(!bias.defined() || (bias.sizes() == weight.sizes() && bias.scalar_type() == weight.scalar_type()), "hearth norm: bias must be like weight");
}

template <NormResult (*compute)(const NormOperands&)>
ThreeTensors forwardBy(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, const OptionalTensor& bias, double eps, bool centred) {
  const NormOperands operands{x, orUndefined(residual), weight, orUndefined(bias), eps, centred};
  checkOperands(operands);
  const NormResult result = compute(operands);
  return {result.sum, result.normed, result.statistics};
}

template <NormGradients (*compute)(const NormUpstream&)>
ThreeTensors backwardBy(const OptionalTensor& sumUpstream, const Tensor& normedUpstream, const Tensor& sum, const Tensor& weight, const Tensor& statistics,
                        bool hasBias, bool centred) {
  const auto isLikeSum = [&](const Tensor& tensor) { return tensor.sizes() == sum.sizes() && tensor.scalar_type() == sum.scalar_type(); };
  TORCH_CHECK(weight.dim() == 1 && weight.numel() > 0 && sum.dim() > 0 && sum.size(-1) == weight.numel() && isLikeSum(normedUpstream) &&
                  (!orUndefined(sumUpstream).defined() || isLikeSum(*sumUpstream)),
              "hearth::norm_backward: upstream gradients must be like sum, and weight fit it, got sum ", sum.sizes(), ", upstream ", normedUpstream.sizes(),
              " and weight ", weight.sizes());
  TORCH_CHECK(statistics.numel() * weight.numel() == 2 * sum.numel() && statistics.dim() == 2 && statistics.is_contiguous() &&
                  statistics.scalar_type() == (sum.scalar_type() == at::kDouble ? at::kDouble : at::kFloat),
              "hearth::norm_backward: statistics must be those of the forward pass, got ", statistics.scalar_type(), statistics.sizes());
  const NormGradients result = compute({orUndefined(sumUpstream), normedUpstream, sum, weight, statistics, hasBias, centred});
  return {result.x, result.weight, result.bias};
}

ThreeTensors callForward(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, const OptionalTensor& bias, double eps, bool centred) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("hearth::norm_forward", "")
                             .typed<ThreeTensors(const Tensor&, const OptionalTensor&, const Tensor&, const OptionalTensor&, double, bool)>();
  return op.call(x, residual, weight, bias, eps, centred);
}

ThreeTensors callBackward(const OptionalTensor& sumUpstream, const Tensor& normedUpstream, const Tensor& sum, const Tensor& weight, const Tensor& statistics,
                          bool hasBias, bool centred) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("hearth::norm_backward", "")
                             .typed<ThreeTensors(const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, bool, bool)>();
  return op.call(sumUpstream, normedUpstream, sum, weight, statistics, hasBias, centred);
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  /** The normed rows and, where there is a residual, the sum. */
  static variable_list forward(AutogradContext* context, const Tensor& x, const OptionalTensor& residual, const Tensor& weight, const OptionalTensor& bias,
                               double eps, bool centred) {
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [sum, normed, statistics] = callForward(x, residual, weight, bias, eps, centred);
    context->set_materialize_grads(false);
    context->save_for_backward({sum.defined() ? sum : x, weight, statistics});
    context->saved_data["hasBias"] = orUndefined(bias).defined();
    context->saved_data["centred"] = centred;
    if (sum.defined()) return {normed, sum};
    return {normed};
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const auto saved = context->get_saved_variables();
    const OptionalTensor sumUpstream = upstream.size() > 1 && upstream[1].defined() ? OptionalTensor(upstream[1]) : c10::nullopt;
    const Tensor normedUpstream = upstream[0].defined() ? upstream[0] : at::zeros_like(saved[0]);
    auto [gradient, weightGradient, biasGradient] = callBackward(sumUpstream, normedUpstream, saved[0], saved[1], saved[2],
                                                                 context->saved_data["hasBias"].toBool(), context->saved_data["centred"].toBool());
    return {gradient, upstream.size() > 1 ? gradient : Tensor(), weightGradient, biasGradient, Tensor(), Tensor()};
  }
};

TwoTensors rmsNormAutograd(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, double eps) {
  const variable_list results = NormFunction::apply(x, residual, weight, OptionalTensor(), eps, false);
  return {results.size() > 1 ? results[1] : Tensor(), results[0]};
}

TwoTensors layerNormAutograd(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, const Tensor& bias, double eps) {
  const variable_list results = NormFunction::apply(x, residual, weight, OptionalTensor(bias), eps, true);
  return {results.size() > 1 ? results[1] : Tensor(), results[0]};
}

TwoTensors rmsNorm(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, double eps) {
  auto [sum, normed, statistics] = callForward(x, residual, weight, c10::nullopt, eps, false);
  return {sum, normed};
}

TwoTensors layerNorm(const Tensor& x, const OptionalTensor& residual, const Tensor& weight, const Tensor& bias, double eps) {
  auto [sum, normed, statistics] = callForward(x, residual, weight, bias, eps, true);
  return {sum, normed};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  // (x + residual, its norm); the first is undefined without a residual.
  library.def("rms_norm(Tensor x, Tensor? residual, Tensor weight, float eps) -> (Tensor, Tensor)");
  library.def("layer_norm(Tensor x, Tensor? residual, Tensor weight, Tensor bias, float eps) -> (Tensor, Tensor)");
  library.def("norm_forward(Tensor x, Tensor? residual, Tensor weight, Tensor? bias, float eps, bool centred) -> (Tensor, Tensor, Tensor)");
  library.def(
      "norm_backward(Tensor? sum_upstream, Tensor normed_upstream, Tensor sum, Tensor weight, Tensor statistics, bool has_bias, bool centred) "
      "-> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("rms_norm", rmsNorm);
  library.impl("layer_norm", layerNorm);
  library.impl("norm_forward", forwardBy<normReference>);
  library.impl("norm_backward", backwardBy<normBackwardReference>);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("norm_forward", forwardBy<normCpu>);
  library.impl("norm_backward", backwardBy<normBackwardCpu>);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) {
  library.impl("rms_norm", rmsNormAutograd);
  library.impl("layer_norm", layerNormAutograd);
}

}  // namespace hearth
