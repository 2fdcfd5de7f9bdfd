// hearth::linear made of ATen's operators: for GPUs, float64, HEARTH_KERNELS=reference, and for processors whose library
// multiplies faster than we do. On a CPU without bfloat16 instructions libtorch sums bfloat16 products in bfloat16, 10 to 20
// times slower than float32 and 3 % off at 768 terms: there the operands are widened and the result is rounded once.
#include "kernels/gemm/linear.h"

#include <torch/library.h>

namespace hearth {

namespace {

using at::Tensor;

bool libraryMultipliesBfloat16() {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("avx512bf16");  // every processor with AMX has it too
  return fast;
#else
  return false;
#endif
}

OptionalTensor converted(const OptionalTensor& tensor, at::ScalarType dtype) {
  return tensor.has_value() && tensor->defined() ? OptionalTensor(tensor->to(dtype)) : c10::nullopt;
}

Tensor activated(const Tensor& x, LinearActivation activation) {
  switch (activation) {
    case LinearActivation::gelu: return at::gelu(x);
    case LinearActivation::geluTanh: return at::gelu(x, "tanh");
    case LinearActivation::silu: return at::silu(x);
    default: return x;
  }
}

}  // namespace

at::ScalarType arithmeticOf(const Tensor& x) {
  const bool widens = x.device().is_cpu() && x.scalar_type() == at::kBFloat16 && !libraryMultipliesBfloat16();
  return widens ? at::kFloat : x.scalar_type();
}

LinearActivation activationNamed(c10::string_view name) {
  if (name == "none") return LinearActivation::none;
  if (name == "gelu") return LinearActivation::gelu;
  if (name == "gelu_tanh") return LinearActivation::geluTanh;
  if (name == "silu") return LinearActivation::silu;
  TORCH_CHECK(false, "hearth::linear: activation must be one of none, gelu, gelu_tanh, silu, got '", std::string(name), "'");
}

void checkLinear(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual) {
  TORCH_CHECK(x.dim() >= 1 && weight.dim() == 2 && x.size(-1) == weight.size(1),
              "hearth::linear: x must be (..., in) and weight (out, in), got x of shape ", x.sizes(), " and weight of shape ", weight.sizes());
  TORCH_CHECK(x.scalar_type() == weight.scalar_type(), "hearth::linear: x and weight must have one dtype, got ", x.scalar_type(), " and ",
              weight.scalar_type());
  if (bias.has_value())
    TORCH_CHECK(bias->dim() == 1 && bias->size(0) == weight.size(0) && bias->scalar_type() == x.scalar_type(),
                "hearth::linear: bias must be (out) in the dtype of x, with out = ", weight.size(0), ", got ", bias->scalar_type(), " of shape ",
                bias->sizes());
  if (!residual.has_value()) return;
  const std::vector<int64_t> shape = shapeOfLinear(x, weight);
  TORCH_CHECK(residual->sizes().equals(shape) && residual->scalar_type() == x.scalar_type(), "hearth::linear: residual must be ",
              c10::IntArrayRef(shape), " in the dtype of x, got ", residual->scalar_type(), " of shape ", residual->sizes());
}

std::vector<int64_t> shapeOfLinear(const Tensor& x, const Tensor& weight) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return shape;
}

std::tuple<Tensor, Tensor> linearForwardReference(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                                                  c10::string_view activation, bool keepsBefore) {
  checkLinear(x, weight, bias, residual);
  const LinearActivation chosen = activationNamed(activation);
  const auto own = x.scalar_type(), wide = arithmeticOf(x);
  const Tensor before = at::linear(x.to(wide), weight.to(wide), converted(bias, wide));
  Tensor y = activated(before, chosen);
  if (residual.has_value()) y = y + residual->to(wide);
  return {y.to(own), keepsBefore ? before.to(own) : at::empty({0}, x.options())};
}

Tensor linearActivationGradientReference(const Tensor& upstream, const Tensor& before, c10::string_view activation) {
  const auto own = upstream.scalar_type(), wide = arithmeticOf(upstream);
  switch (activationNamed(activation)) {
    case LinearActivation::gelu: return at::gelu_backward(upstream.to(wide), before.to(wide)).to(own);
    case LinearActivation::geluTanh: return at::gelu_backward(upstream.to(wide), before.to(wide), "tanh").to(own);
    case LinearActivation::silu: return at::silu_backward(upstream.to(wide), before.to(wide)).to(own);
    default: return upstream;
  }
}

Tensor linearInputGradientReference(const Tensor& upstream, const Tensor& weight) {
  const auto wide = arithmeticOf(upstream);
  return at::matmul(upstream.to(wide), weight.to(wide)).to(upstream.scalar_type());
}

Tensor linearWeightGradientReference(const Tensor& upstream, const Tensor& x, bool inFloat32) {
  const auto wide = inFloat32 ? at::kFloat : arithmeticOf(upstream);
  return at::mm(asMatrix(upstream.to(wide)).t(), asMatrix(x.to(wide))).to(inFloat32 ? at::kFloat : upstream.scalar_type());
}

Tensor linearBiasGradientReference(const Tensor& upstream) {
  const auto wide = arithmeticOf(upstream);
  return asMatrix(upstream.to(wide)).sum(0).to(upstream.scalar_type());
}

}  // namespace hearth
