// hearth::swiglu: silu(gate) * up in one pass, the middle of a gated feed-forward part, with its gradient. ATen makes two
// passes of the one and six of the other, and keeps an activation more.
// Source: Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202.
#include "kernels/swiglu.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using TwoTensors = std::tuple<Tensor, Tensor>;

void checkOperands(const Tensor& gate, const Tensor& up) {
  TORCH_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(), "hearth::swiglu: gate and up must have one shape and dtype, got ",
              gate.scalar_type(), gate.sizes(), " and ", up.scalar_type(), up.sizes());
}

Tensor swigluReference(const Tensor& gate, const Tensor& up) {
  checkOperands(gate, up);
  return at::silu(gate).mul_(up);
}

TwoTensors swigluBackwardReference(const Tensor& upstream, const Tensor& gate, const Tensor& up) {
  checkOperands(gate, up);
  const Tensor s = at::sigmoid(gate);
  return {upstream * up * s * (1 + gate * (1 - s)), upstream * gate * s};
}

template <typename T>
const SwigluLoops<T>& loopsOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return swigluTable().float32;
  else return swigluTable().bfloat16;
}

Tensor swigluCpu(const Tensor& gate, const Tensor& up) {
  checkOperands(gate, up);
  if (!isOurs(gate)) return swigluReference(gate, up);
  const Tensor g = gate.contiguous(), u = up.contiguous(), out = at::empty_like(g);
  withElementsOf(g, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    at::parallel_for(0, g.numel(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
      loopsOf(element).forward(dataOf<T>(g) + begin, dataOf<T>(u) + begin, dataOf<T>(out) + begin, end - begin);
    });
  });
  return out;
}

TwoTensors swigluBackwardCpu(const Tensor& upstream, const Tensor& gate, const Tensor& up) {
  checkOperands(gate, up);
  checkOperands(gate, upstream);
  if (!isOurs(gate)) return swigluBackwardReference(upstream, gate, up);
  const Tensor dy = upstream.contiguous(), g = gate.contiguous(), u = up.contiguous();
  const Tensor gateGradient = at::empty_like(g), upGradient = at::empty_like(u);
  withElementsOf(g, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    at::parallel_for(0, g.numel(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
      loopsOf(element).backward(dataOf<T>(dy) + begin, dataOf<T>(g) + begin, dataOf<T>(u) + begin, dataOf<T>(gateGradient) + begin,
                                dataOf<T>(upGradient) + begin, end - begin);
    });
  });
  return {gateGradient, upGradient};
}

Tensor callSwiglu(const Tensor& gate, const Tensor& up) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hearth::swiglu", "").typed<Tensor(const Tensor&, const Tensor&)>();
  return op.call(gate, up);
}

TwoTensors callSwigluBackward(const Tensor& upstream, const Tensor& gate, const Tensor& up) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hearth::swiglu_backward", "").typed<TwoTensors(const Tensor&, const Tensor&, const Tensor&)>();
  return op.call(upstream, gate, up);
}

struct SwigluFunction : torch::autograd::Function<SwigluFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& gate, const Tensor& up) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({gate, up});
    return callSwiglu(gate, up);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list upstream) {
    const auto saved = context->get_saved_variables();
    auto [gateGradient, upGradient] = callSwigluBackward(upstream[0], saved[0], saved[1]);
    return {gateGradient, upGradient};
  }
};

Tensor swigluAutograd(const Tensor& gate, const Tensor& up) { return SwigluFunction::apply(gate, up); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("swiglu(Tensor gate, Tensor up) -> Tensor");
  library.def("swiglu_backward(Tensor upstream, Tensor gate, Tensor up) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("swiglu", swigluReference);
  library.impl("swiglu_backward", swigluBackwardReference);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("swiglu", swigluCpu);
  library.impl("swiglu_backward", swigluBackwardCpu);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("swiglu", swigluAutograd); }

}  // namespace hearth
