// hearth::linear_cross_entropy: the loss of next-token prediction fused with the projection to the vocabulary, so that
// the logits, the largest tensor of a training step, never exist whole. Gradients are made in the forward pass and only
// scaled in the backward pass; how is in linear-cross-entropy-chunks.cc.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/linear-cross-entropy-chunks.h"

namespace hearth {

namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using FourTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;
using torch::autograd::AutogradContext;

Tensor orUndefined(const OptionalTensor& tensor) { return tensor.has_value() ? *tensor : Tensor(); }

void checkTargets(const Tensor& targets, int64_t classes, int64_t ignoreIndex) {
  if (!targets.device().is_cpu()) return;  // to read them would wait for the device, whose own operators check them
  const int64_t* target = targets.data_ptr<int64_t>();
  for (int64_t i = 0; i < targets.numel(); ++i)
    TORCH_CHECK((target[i] >= 0 && target[i] < classes) || target[i] == ignoreIndex, "hearth::linear_cross_entropy: target ", target[i], " at ", i,
                " is neither a class from 0 to ", classes - 1, " nor ignore_index ", ignoreIndex);
}

void checkOperands(const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& targets) {
  TORCH_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1) && weight.size(0) > 0,
              "hearth::linear_cross_entropy: hidden must be (N, D) and weight (V, D), got ", hidden.sizes(), " and ", weight.sizes());
  TORCH_CHECK(at::isFloatingType(hidden.scalar_type()) && hidden.scalar_type() == weight.scalar_type() && hidden.device() == weight.device(),
              "hearth::linear_cross_entropy: hidden and weight must be floats of one dtype on one device, got ", hidden.scalar_type(), " on ", hidden.device(),
              " and ", weight.scalar_type(), " on ", weight.device());
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0) && bias.scalar_type() == weight.scalar_type() && bias.device() == weight.device()),
              "hearth::linear_cross_entropy: bias must be (V) in the dtype of weight, got ", bias.defined() ? bias.sizes() : at::IntArrayRef());
  TORCH_CHECK(targets.dim() == 1 && targets.size(0) == hidden.size(0) && targets.scalar_type() == at::kLong && targets.device() == hidden.device(),
              "hearth::linear_cross_entropy: targets must be (N) int64 beside hidden, got ", targets.scalar_type(), targets.sizes(), " for hidden ", hidden.sizes());
}

/** The loss, and the gradients that are wanted. */
FourTensors withGradients(const Tensor& hidden, const Tensor& weight, const OptionalTensor& bias, const Tensor& targets, int64_t ignoreIndex, bool mean,
                          std::array<bool, 3> wanted) {
  const at::NoGradGuard noGrad;
  const LossOperands operands{hidden.contiguous(), weight, orUndefined(bias), targets.contiguous(), ignoreIndex, mean};
  checkOperands(hidden, weight, operands.bias, targets);
  checkTargets(operands.targets, weight.size(0), ignoreIndex);
  const LossResult result = lossInChunks(operands, {wanted[0], wanted[1], wanted[2]});
  return {result.loss, result.hidden, result.weight, result.bias};
}

Tensor withoutGradients(const Tensor& hidden, const Tensor& weight, const OptionalTensor& bias, const Tensor& targets, int64_t ignoreIndex, bool mean) {
  return std::get<0>(withGradients(hidden, weight, bias, targets, ignoreIndex, mean, {false, false, false}));
}

bool wantsGradient(const OptionalTensor& tensor) {
  return at::GradMode::is_enabled() && tensor.has_value() && tensor->defined() && tensor->requires_grad();
}

struct LinearCrossEntropyFunction : torch::autograd::Function<LinearCrossEntropyFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight, const OptionalTensor& bias, const Tensor& targets,
                        int64_t ignoreIndex, bool mean, std::array<bool, 3> wanted) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("hearth::linear_cross_entropy_with_gradients", "")
                               .typed<FourTensors(const Tensor&, const Tensor&, const OptionalTensor&, const Tensor&, int64_t, bool, std::array<bool, 3>)>();
    const at::AutoDispatchBelowADInplaceOrView below;
    auto [loss, hiddenGradient, weightGradient, biasGradient] = op.call(hidden, weight, bias, targets, ignoreIndex, mean, wanted);
    // Saved, and so let go as the engine takes them on: a leaf can keep its gradient without a copy.
    context->save_for_backward({hiddenGradient, weightGradient, biasGradient});
    return loss;
  }

  static torch::autograd::variable_list backward(AutogradContext* context, torch::autograd::variable_list upstream) {
    auto gradients = context->get_saved_variables();
    const Tensor& scale = upstream[0];
    // The usual upstream gradient is 1; elsewhere than on the CPU, to look would wait for the device.
    const bool isOne = scale.device().is_cpu() && scale.item<double>() == 1;
    for (Tensor& gradient : gradients)
      if (gradient.defined() && !isOne) gradient = gradient * scale.to(gradient.scalar_type());
    gradients.resize(7);
    return gradients;
  }
};

Tensor withAutograd(const Tensor& hidden, const Tensor& weight, const OptionalTensor& bias, const Tensor& targets, int64_t ignoreIndex, bool mean) {
  const std::array<bool, 3> wanted{wantsGradient(hidden), wantsGradient(weight), wantsGradient(bias)};
  return LinearCrossEntropyFunction::apply(hidden, weight, bias, targets, ignoreIndex, mean, wanted);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("linear_cross_entropy(Tensor hidden, Tensor weight, Tensor? bias, Tensor targets, int ignore_index=-100, bool mean=True) -> Tensor");
  library.def(
      "linear_cross_entropy_with_gradients(Tensor hidden, Tensor weight, Tensor? bias, Tensor targets, int ignore_index, bool mean, "
      "bool[3] wanted) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("linear_cross_entropy", withoutGradients);
  library.impl("linear_cross_entropy_with_gradients", withGradients);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("linear_cross_entropy", withAutograd); }

}  // namespace hearth
