// hearth::carry_loss: x unchanged, with a loss on board: the backward pass gives the loss the gradient 1 besides what
// flows to x. So a block can have a loss of its own (a router's balance) and stay a function from x to x.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace hearth {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void checkLoss(const Tensor& loss) {
  TORCH_CHECK(loss.numel() == 1 && at::isFloatingType(loss.scalar_type()), "hearth::carry_loss: the loss must be one floating-point number, got ",
              loss.scalar_type(), loss.sizes());
}

Tensor carryLoss(const Tensor& x, const Tensor& loss) {
  checkLoss(loss);
  return x.clone();
}

struct CarryLoss : torch::autograd::Function<CarryLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& loss) {
    checkLoss(loss);
    context->saved_data["like"] = at::empty_like(loss).fill_(1);
    return x.clone();
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    return {upstream[0], context->saved_data["like"].toTensor()};
  }
};

Tensor carryLossAutograd(const Tensor& x, const Tensor& loss) { return CarryLoss::apply(x, loss); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) { library.def("carry_loss(Tensor x, Tensor loss) -> Tensor"); }

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("carry_loss", carryLoss); }

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("carry_loss", carryLossAutograd); }

}  // namespace hearth
