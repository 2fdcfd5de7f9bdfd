// hearth::linear_base: y = x Wᵀ + b + residual with W in NF4 or 8-bit integers, and the gradient of x, for training what lies
// beside W. W is turned into floats panel by panel, as the product packs it: it never exists whole. In bfloat16 its floats
// are rounded to bfloat16 first, as bitsandbytes computes. The reference form makes W whole.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/base/base-weight.h"
#include "kernels/gemm/choice.h"
#include "kernels/gemm/finish.h"
#include "kernels/gemm/linear.h"
#include "kernels/gemm/product.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/** Panels of inputs that are decoded together on the way back: a stretch of a row of W is then some blocks long. */
constexpr int64_t kPanels = 8;

/** The operands of the weight, as they are given. */
struct Base {
  const Tensor &codes, &scales, &nested;
  int64_t outputs, inputs;

  BaseWeight view() const { return baseWeight(codes, scales, nested, outputs, inputs); }
  Tensor whole(at::ScalarType dtype) const { return dequantiseReference(codes, scales, nested, outputs, inputs, dtype); }
};

void decode(const BaseWeight& weight, int64_t first, int64_t count, float* out) { baseTable().decodeFloats(weight, first, count, out); }
void decode(const BaseWeight& weight, int64_t first, int64_t count, BFloat16* out) { baseTable().decodeHalves(weight, first, count, out); }

template <typename T>
Tensor spaceFor(int64_t elements) {
  return at::empty({elements * static_cast<int64_t>(sizeof(T))}, at::kByte);
}

/** W as the right side of a product over its inputs. */
template <typename T>
Side rowsOf(const GemmKernel& kernel, const BaseWeight& weight, int64_t outputs, int64_t inputs) {
  return {outputs, inputs, [=, &kernel](int64_t row, const PackTask& task) {
            const int64_t input = task.word * kernel.wordDepth, deep = std::min(task.words * kernel.wordDepth, inputs - input);
            const Tensor space = spaceFor<T>(kernel.rightRows * deep);
            for (int64_t panel = task.firstPanel; panel < task.lastPanel; ++panel) {
              const int64_t first = row + panel * kernel.rightRows, rows = std::min<int64_t>(kernel.rightRows, outputs - first);
              for (int64_t i = 0; i < rows; ++i) decode(weight, (first + i) * inputs + input, deep, dataOf<T>(space) + i * deep);
              kernel.packRight({space.data_ptr(), sizeof(T), rows, deep, deep, 1}, {0, 1, 0, task.words, task.to + panel * task.words * kernel.rightRows});
            }
          }};
}

/** Wᵀ as the right side of a product over its outputs. */
template <typename T>
Side columnsOf(const GemmKernel& kernel, const BaseWeight& weight, int64_t outputs, int64_t inputs) {
  return {inputs, outputs, [=, &kernel](int64_t row, const PackTask& task) {
            const int64_t output = task.word * kernel.wordDepth, deep = std::min(task.words * kernel.wordDepth, outputs - output);
            const Tensor space = spaceFor<T>(kPanels * kernel.rightRows * deep);
            for (int64_t panel = task.firstPanel; panel < task.lastPanel; panel += kPanels) {
              const int64_t panels = std::min(kPanels, task.lastPanel - panel), first = row + panel * kernel.rightRows;
              const int64_t width = std::min(panels * kernel.rightRows, inputs - first);
              for (int64_t i = 0; i < deep; ++i) decode(weight, (output + i) * inputs + first, width, dataOf<T>(space) + i * width);
              kernel.packRight({space.data_ptr(), sizeof(T), width, deep, 1, width},
                               {0, panels, 0, task.words, task.to + panel * task.words * kernel.rightRows});
            }
          }};
}

std::vector<int64_t> shapeLike(const Tensor& x, int64_t last) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = last;
  return shape;
}

const GemmKernel* kernelFor(const Tensor& x) { return isOurs(x) ? chosenKernel(x.scalar_type()) : nullptr; }

void checkOperands(const Tensor& x, int64_t outputs, const OptionalTensor& bias, const OptionalTensor& residual) {
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) > 0 && x.is_floating_point(), "hearth::linear_base: x must be (..., inputs) of floats, got ", x.scalar_type(), x.sizes());
  const auto fits = [&](const OptionalTensor& tensor, at::IntArrayRef sizes) {
    return !tensor.has_value() || (tensor->sizes() == sizes && tensor->scalar_type() == x.scalar_type());
  };
  const std::vector<int64_t> shape = shapeLike(x, outputs);
  TORCH_CHECK(fits(bias, outputs) && fits(residual, shape), "hearth::linear_base: bias must be (", outputs, ") and residual ", at::IntArrayRef(shape), ", both ",
              x.scalar_type());
}

Tensor productReference(const Tensor& x, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, const OptionalTensor& bias,
                        const OptionalTensor& residual) {
  checkOperands(x, outputs, bias, residual);
  const Base base{codes, scales, nested, outputs, x.size(-1)};
  return std::get<0>(linearForwardReference(x, base.whole(x.scalar_type()), bias, residual, "none", false));
}

Tensor productCpu(const Tensor& x, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, const OptionalTensor& bias,
                  const OptionalTensor& residual) {
  const GemmKernel* const kernel = kernelFor(x);
  if (kernel == nullptr) return productReference(x, codes, scales, nested, outputs, bias, residual);
  checkOperands(x, outputs, bias, residual);
  const int64_t inputs = x.size(-1);
  const BaseWeight weight = baseWeight(codes, scales, nested, outputs, inputs);
  const Tensor b = bias.has_value() ? bias->contiguous() : Tensor(), r = residual.has_value() ? residual->contiguous() : Tensor();
  const Tensor y = at::empty(shapeLike(x, outputs), x.options());
  const OperandOf left(asMatrix(x));
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto orNull = [](const Tensor& tensor) { return tensor.defined() ? dataOf<T>(tensor) : nullptr; };
    const Epilogue<T> finish{orNull(b), orNull(r), nullptr, dataOf<T>(y), outputs, LinearActivation::none};
    product(*kernel, leftSide(*kernel, left.operand), rowsOf<T>(*kernel, weight, outputs, inputs), finish);
  });
  return y;
}

Tensor inputGradientReference(const Tensor& upstream, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t inputs) {
  const Base base{codes, scales, nested, upstream.size(-1), inputs};
  return linearInputGradientReference(upstream, base.whole(upstream.scalar_type()));
}

Tensor inputGradientCpu(const Tensor& upstream, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t inputs) {
  const GemmKernel* const kernel = kernelFor(upstream);
  if (kernel == nullptr) return inputGradientReference(upstream, codes, scales, nested, inputs);
  const int64_t outputs = upstream.size(-1);
  const BaseWeight weight = baseWeight(codes, scales, nested, outputs, inputs);
  const Tensor dx = at::empty(shapeLike(upstream, inputs), upstream.options());
  const OperandOf left(asMatrix(upstream));
  withElementsOf(dx, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const Epilogue<T> finish{nullptr, nullptr, nullptr, dataOf<T>(dx), inputs, LinearActivation::none};
    product(*kernel, leftSide(*kernel, left.operand), columnsOf<T>(*kernel, weight, outputs, inputs), finish);
  });
  return dx;
}

template <typename Signature>
auto operatorNamed(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

Tensor linearBase(const Tensor& x, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, const OptionalTensor& bias,
                  const OptionalTensor& residual) {
  using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t, const OptionalTensor&, const OptionalTensor&);
  static const auto op = operatorNamed<Signature>("hearth::linear_base_product");
  return op.call(x, codes, scales, nested, outputs, bias, residual);
}

struct LinearBaseFunction : torch::autograd::Function<LinearBaseFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs,
                        const OptionalTensor& bias, const OptionalTensor& residual) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->saved_data["inputs"] = x.size(-1);
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({codes, scales, nested});
    return linearBase(x, codes, scales, nested, outputs, bias, residual);
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t);
    static const auto ofInput = operatorNamed<Signature>("hearth::linear_base_input_gradient");
    static const auto ofBias = operatorNamed<Tensor(const Tensor&)>("hearth::linear_bias_gradient");
    const auto saved = context->get_saved_variables();
    // Operands that were not given have no place among the inputs, but one among the gradients.
    const bool hasBias = context->saved_data["bias"].toBool(), hasResidual = context->saved_data["residual"].toBool();
    const bool toBias = hasBias && context->needs_input_grad(4), toResidual = hasResidual && context->needs_input_grad(hasBias ? 5 : 4);
    const Tensor& dy = upstream[0];
    const int64_t inputs = context->saved_data["inputs"].toInt();
    return {context->needs_input_grad(0) ? ofInput.call(dy, saved[0], saved[1], saved[2], inputs) : Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            toBias ? ofBias.call(dy) : Tensor(),
            toResidual ? dy : Tensor()};
  }
};

Tensor linearBaseAutograd(const Tensor& x, const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, const OptionalTensor& bias,
                          const OptionalTensor& residual) {
  if (at::GradMode::is_enabled()) return LinearBaseFunction::apply(x, codes, scales, nested, outputs, bias, residual);
  const at::AutoDispatchBelowADInplaceOrView below;
  return linearBase(x, codes, scales, nested, outputs, bias, residual);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("linear_base_product(Tensor x, Tensor codes, Tensor scales, Tensor nested, int outputs, Tensor? bias, Tensor? residual) -> Tensor");
  library.def("linear_base_input_gradient(Tensor upstream, Tensor codes, Tensor scales, Tensor nested, int inputs) -> Tensor");
  library.def("linear_base(Tensor x, Tensor codes, Tensor scales, Tensor nested, int outputs, Tensor? bias=None, Tensor? residual=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("linear_base_product", productReference);
  library.impl("linear_base_input_gradient", inputGradientReference);
  library.impl("linear_base", linearBase);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("linear_base_product", productCpu);
  library.impl("linear_base_input_gradient", inputGradientCpu);
}

TORCH_LIBRARY_IMPL(hearth, Autograd, library) { library.impl("linear_base", linearBaseAutograd); }

}  // namespace hearth
