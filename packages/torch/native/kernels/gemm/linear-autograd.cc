// The autograd of hearth::linear: what is kept for the way back is only what a gradient that is wanted needs, and the gradients come
// from the operators of linear.cc.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/gemm/linear.h"

namespace hearth {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Signature>
auto operatorNamed(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

std::tuple<Tensor, Tensor> forwardOf(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                                     c10::string_view activation, bool keepsBefore) {
  using Signature = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const OptionalTensor&, const OptionalTensor&, c10::string_view, bool);
  static const auto op = operatorNamed<Signature>("hearth::linear_forward");
  return op.call(x, weight, bias, residual, activation, keepsBefore);
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                        const std::string& activation) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const bool before = activation != "none" && (x.requires_grad() || weight.requires_grad() || (bias.has_value() && bias->requires_grad()));
    const auto [y, kept] = forwardOf(x, weight, bias, residual, activation, before);
    context->saved_data["activation"] = activation;
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({weight.requires_grad() ? x : Tensor(), x.requires_grad() ? weight : Tensor(), before ? kept : Tensor()});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    static const auto ofActivation = operatorNamed<Tensor(const Tensor&, const Tensor&, c10::string_view)>("hearth::linear_activation_gradient");
    static const auto ofInput = operatorNamed<Tensor(const Tensor&, const Tensor&)>("hearth::linear_input_gradient");
    static const auto ofWeight = operatorNamed<Tensor(const Tensor&, const Tensor&, bool)>("hearth::linear_weight_gradient");
    static const auto ofBias = operatorNamed<Tensor(const Tensor&)>("hearth::linear_bias_gradient");
    const auto saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor& before = saved[2];
    const std::string activation = context->saved_data["activation"].toStringRef();
    const Tensor dy = before.defined() ? ofActivation.call(upstream[0], before, activation) : upstream[0];
    // Operands that were not given have no place among the inputs, but one among the gradients.
    const bool hasBias = context->saved_data["bias"].toBool(), hasResidual = context->saved_data["residual"].toBool();
    const bool toBias = hasBias && context->needs_input_grad(2), toResidual = hasResidual && context->needs_input_grad(hasBias ? 3 : 2);
    return {weight.defined() ? ofInput.call(dy, weight) : Tensor(), x.defined() ? ofWeight.call(dy, x, false) : Tensor(),
            toBias ? ofBias.call(dy) : Tensor(), toResidual ? upstream[0] : Tensor(), Tensor()};
  }
};

Tensor linear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual, c10::string_view activation) {
  return std::get<0>(forwardOf(x, weight, bias, residual, activation, false));
}

Tensor linearAutograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                      c10::string_view activation) {
  if (at::GradMode::is_enabled()) return LinearFunction::apply(x, weight, bias, residual, std::string(activation));
  const at::AutoDispatchBelowADInplaceOrView below;
  return linear(x, weight, bias, residual, activation);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias=None, Tensor? residual=None, str activation=\"none\") -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("linear", linear); }
TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("linear", linearAutograd); }

}  // namespace hearth
