// hearth::gelu: gelu(x + bias) in one pass, the middle of a feed-forward part whose first product leaves its bias to it;
// with its gradients. The bias's is summed over the rows in their order.
// Source: Hendrycks, Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
#include "kernels/gelu.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using TwoTensors = std::tuple<Tensor, Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool isThere(const OptionalTensor& tensor) { return tensor.has_value() && tensor->defined(); }

void checkOperands(const Tensor& x, const OptionalTensor& bias) {
  TORCH_CHECK(at::isFloatingType(x.scalar_type()), "hearth::gelu: x must be floats, got ", x.scalar_type());
  TORCH_CHECK(!isThere(bias) || (bias->dim() == 1 && x.dim() > 0 && bias->numel() == x.size(-1) && bias->scalar_type() == x.scalar_type()),
              "hearth::gelu: bias must be (width) in the dtype of x, got ", isThere(bias) ? bias->sizes() : at::IntArrayRef(), " for x ", x.sizes());
}

const char* approximation(bool tanh) { return tanh ? "tanh" : "none"; }

/** x + bias in the dtype to compute in: libtorch's CPU loops over 16-bit floats round in between. */
Tensor biasedForReference(const Tensor& x, const OptionalTensor& bias) {
  const bool widen = x.device().is_cpu() && x.element_size() == 2;
  const Tensor wide = widen ? x.to(at::kFloat) : x;
  return isThere(bias) ? wide + *bias : wide;
}

Tensor geluReference(const Tensor& x, const OptionalTensor& bias, bool tanh) {
  checkOperands(x, bias);
  return at::gelu(biasedForReference(x, bias), approximation(tanh)).to(x.scalar_type());
}

TwoTensors geluBackwardReference(const Tensor& upstream, const Tensor& x, const OptionalTensor& bias, bool tanh) {
  checkOperands(x, bias);
  const Tensor input = biasedForReference(x, bias);
  const Tensor gradient = at::gelu_backward(upstream.to(input.scalar_type()), input, approximation(tanh));
  const Tensor ofBias = isThere(bias) ? sumOfRows(gradient.reshape({-1, bias->numel()})).to(x.scalar_type()) : Tensor();
  return {gradient.to(x.scalar_type()), ofBias};
}

template <typename T>
const GeluLoops<T>& loopsOf(const T*, bool tanh) {
  const GeluTable& table = geluTable();
  if constexpr (std::is_same_v<T, float>) return tanh ? table.tanhFloat32 : table.erfFloat32;
  else return tanh ? table.tanhBfloat16 : table.erfBfloat16;
}

/** work(first element, elements) for parts that begin where a bias does: rows, or where there is none, any. */
template <typename Work>
void eachPart(const Tensor& x, int64_t width, Work work) {
  const int64_t size = width > 0 ? width : 1024, parts = (x.numel() + size - 1) / size;
  at::parallel_for(0, parts, std::max<int64_t>(1, kElementwiseGrain / size), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) work(part * size, std::min(size, x.numel() - part * size));
  });
}

Tensor geluCpu(const Tensor& x, const OptionalTensor& bias, bool tanh) {
  checkOperands(x, bias);
  if (!isOurs(x)) return geluReference(x, bias, tanh);
  const Tensor from = x.contiguous(), b = isThere(bias) ? bias->contiguous() : Tensor(), out = at::empty_like(from);
  withElementsOf(from, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const T* const biases = b.defined() ? dataOf<T>(b) : nullptr;
    eachPart(from, b.defined() ? b.numel() : 0,
             [&](int64_t first, int64_t count) { loopsOf(element, tanh).forward(dataOf<T>(from) + first, biases, dataOf<T>(out) + first, count); });
  });
  return out;
}

TwoTensors geluBackwardCpu(const Tensor& upstream, const Tensor& x, const OptionalTensor& bias, bool tanh) {
  checkOperands(x, bias);
  TORCH_CHECK(upstream.sizes() == x.sizes() && upstream.scalar_type() == x.scalar_type(), "hearth::gelu_backward: upstream must be like x ", x.sizes(), ", got ",
              upstream.sizes());
  if (!isOurs(x)) return geluBackwardReference(upstream, x, bias, tanh);
  const Tensor dy = upstream.contiguous(), from = x.contiguous(), b = isThere(bias) ? bias->contiguous() : Tensor(), gradient = at::empty_like(from);
  withElementsOf(from, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const T* const biases = b.defined() ? dataOf<T>(b) : nullptr;
    eachPart(from, b.defined() ? b.numel() : 0, [&](int64_t first, int64_t count) {
      loopsOf(element, tanh).backward(dataOf<T>(dy) + first, dataOf<T>(from) + first, biases, dataOf<T>(gradient) + first, count);
    });
  });
  if (!b.defined()) return {gradient, Tensor()};
  const Tensor sums = at::zeros({b.numel()}, b.options().dtype(at::kFloat));
  if (b.numel() > 0) addRowsTo(sums, gradient.view({-1, b.numel()}));
  return {gradient, sums.to(b.scalar_type())};
}

struct GeluFunction : torch::autograd::Function<GeluFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const OptionalTensor& bias, bool tanh) {
    static const auto op =
        c10::Dispatcher::singleton().findSchemaOrThrow("hearth::gelu", "").typed<Tensor(const Tensor&, const OptionalTensor&, bool)>();
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x, isThere(bias) ? *bias : Tensor()});
    context->saved_data["tanh"] = tanh;
    return op.call(x, bias, tanh);
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("hearth::gelu_backward", "")
                               .typed<TwoTensors(const Tensor&, const Tensor&, const OptionalTensor&, bool)>();
    const auto saved = context->get_saved_variables();
    auto [gradient, biasGradient] = op.call(upstream[0], saved[0], saved[1].defined() ? OptionalTensor(saved[1]) : c10::nullopt, context->saved_data["tanh"].toBool());
    return {gradient, biasGradient, Tensor()};
  }
};

Tensor geluAutograd(const Tensor& x, const OptionalTensor& bias, bool tanh) { return GeluFunction::apply(x, bias, tanh); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("gelu(Tensor x, Tensor? bias=None, bool tanh=False) -> Tensor");
  library.def("gelu_backward(Tensor upstream, Tensor x, Tensor? bias, bool tanh) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("gelu", geluReference);
  library.impl("gelu_backward", geluBackwardReference);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("gelu", geluCpu);
  library.impl("gelu_backward", geluBackwardCpu);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("gelu", geluAutograd); }

}  // namespace hearth
