// The autograd of hearth::conv2d; see gemm/linear-autograd.cc, which it follows. With `upsample` the way back goes over the
// larger image, which is made for it.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/conv/geometry.h"

namespace hearth {

namespace {

using at::IntArrayRef;
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename Signature>
auto operatorNamed(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

std::tuple<Tensor, Tensor> forwardOf(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                                     const ConvOptions& options, c10::string_view activation, bool keepsBefore) {
  using Signature = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const OptionalTensor&, const OptionalTensor&, IntArrayRef, IntArrayRef, bool,
                                               c10::string_view, bool);
  static const auto op = operatorNamed<Signature>("hearth::conv2d_forward");
  return op.call(x, weight, bias, residual, options.stride, options.padding, options.upsample, activation, keepsBefore);
}

struct Conv2dFunction : torch::autograd::Function<Conv2dFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                        const std::vector<int64_t>& stride, const std::vector<int64_t>& padding, const std::string& activation) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const bool before = activation != "none" && (x.requires_grad() || weight.requires_grad() || (bias.has_value() && bias->requires_grad()));
    const auto [y, kept] = forwardOf(x, weight, bias, residual, {stride, padding}, activation, before);
    auto& constants = context->saved_data;
    constants["stride"] = stride;
    constants["padding"] = padding;
    constants["activation"] = activation;
    constants["image"] = x.sizes().vec();
    constants["weight"] = weight.sizes().vec();
    constants["bias"] = bias.has_value();
    constants["residual"] = residual.has_value();
    context->save_for_backward({weight.requires_grad() ? x : Tensor(), x.requires_grad() ? weight : Tensor(), before ? kept : Tensor()});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    using OfOperand = Tensor(const Tensor&, const Tensor&, IntArrayRef, IntArrayRef, IntArrayRef);
    static const auto ofActivation = operatorNamed<Tensor(const Tensor&, const Tensor&, c10::string_view)>("hearth::linear_activation_gradient");
    static const auto ofInput = operatorNamed<OfOperand>("hearth::conv2d_input_gradient");
    static const auto ofWeight = operatorNamed<OfOperand>("hearth::conv2d_weight_gradient");
    static const auto ofBias = operatorNamed<Tensor(const Tensor&)>("hearth::linear_bias_gradient");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &before = saved[2];
    auto& constants = context->saved_data;
    const auto numbers = [&](const char* name) { return constants[name].toIntVector(); };
    const std::vector<int64_t> stride = numbers("stride"), padding = numbers("padding");
    const Tensor dy = before.defined() ? ofActivation.call(upstream[0], before, constants["activation"].toStringRef()) : upstream[0];
    // Operands that were not given have no place among the inputs, but one among the gradients.
    const bool hasBias = constants["bias"].toBool(), hasResidual = constants["residual"].toBool();
    const bool toBias = hasBias && context->needs_input_grad(2), toResidual = hasResidual && context->needs_input_grad(hasBias ? 3 : 2);
    return {weight.defined() ? ofInput.call(dy, weight, numbers("image"), stride, padding) : Tensor(),
            x.defined() ? ofWeight.call(dy, x, numbers("weight"), stride, padding) : Tensor(),
            toBias ? ofBias.call(dy) : Tensor(),
            toResidual ? upstream[0] : Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

Tensor conv2d(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual, IntArrayRef stride, IntArrayRef padding,
              bool upsample, c10::string_view activation) {
  return std::get<0>(forwardOf(x, weight, bias, residual, {stride, padding, upsample}, activation, false));
}

bool needsGradient(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual) {
  const auto needs = [](const OptionalTensor& tensor) { return tensor.has_value() && tensor->requires_grad(); };
  return at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad() || needs(bias) || needs(residual));
}

Tensor conv2dAutograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual, IntArrayRef stride,
                      IntArrayRef padding, bool upsample, c10::string_view activation) {
  if (needsGradient(x, weight, bias, residual)) {
    geometryOf(x.sizes(), weight.sizes(), {stride, padding, upsample});
    const Tensor image = upsample ? x.repeat_interleave(2, 1).repeat_interleave(2, 2) : x;
    return Conv2dFunction::apply(image, weight, bias, residual, stride.vec(), padding.vec(), std::string(activation));
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return conv2d(x, weight, bias, residual, stride, padding, upsample, activation);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  // x (B, H, W, in), weight (out, h, w, in), padding (top, bottom, left, right); with `upsample` every pixel of x counts as four.
  library.def(
      "conv2d(Tensor x, Tensor weight, Tensor? bias=None, Tensor? residual=None, int[2] stride=1, int[4] padding=0, bool upsample=False, "
      "str activation=\"none\") -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("conv2d", conv2d); }
TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("conv2d", conv2dAutograd); }

}  // namespace hearth
