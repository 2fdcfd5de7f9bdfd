// hearth::linear: y = activation(x Wᵀ + b) + residual with its gradients, by the matrix products of this folder: float32 and
// bfloat16 in, sums in float32, one rounding. The sums never reach memory: bias, activation and residual are applied to a block of
// them while it is in the cache.
#include "kernels/gemm/linear.h"

#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/gemm/choice.h"
#include "kernels/gemm/few-rows.h"
#include "kernels/gemm/finish.h"
#include "kernels/gemm/product.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using TwoTensors = std::tuple<Tensor, Tensor>;

/** Gradients of few rows take longer to pack than to compute. */
const GemmKernel* kernelFor(const Tensor& left, int64_t rows) {
  return isOurs(left) && rows > kFewRows ? chosenKernel(left.scalar_type()) : nullptr;
}

/** Whether the weight can be read where it lies. */
bool readsInPlace(const Tensor& x, const Tensor& weight, int64_t rows) {
  return isOurs(x) && rows > 0 && rows <= kRowsInPlace && weight.stride(1) == 1 && chosenKernel(x.scalar_type()) != nullptr;
}

template <typename T>
void sumFewRows(const FewRowsTask<T>& task) {
  if constexpr (std::is_same_v<T, float>) fewRowsTable().float32(task);
  else fewRowsTable().bfloat16(task);
}

/** Columns whose weights stay in the second cache while group after group of rows meets them. */
int64_t stripOf(int64_t rows, int64_t bytesOfColumn) {
  constexpr int64_t kMost = 64, kCached = 128 * 1024, kLeast = 12;
  return rows <= kFewRows ? kMost : std::clamp(kCached / std::max<int64_t>(1, bytesOfColumn) / kLeast * kLeast, kLeast, kMost);
}

/** x Wᵀ for x (rows, depth) of at most kRowsInPlace rows, strip of columns by strip. A row has the bits that it has alone. */
template <typename T>
void fewRowsProduct(const Tensor& x, const Tensor& weight, const Epilogue<T>& finish) {
  const Tensor wide = x.to(at::kFloat).contiguous();
  const int64_t rows = wide.size(0), depth = wide.size(1), columns = weight.size(0), stride = weight.stride(0);
  const int64_t groups = rows <= kFewRows ? 1 : (rows + kFewRows - 2) / (kFewRows - 1), rowsAtOnce = (rows + groups - 1) / groups;
  const int64_t strip = stripOf(rows, depth * static_cast<int64_t>(sizeof(T)));
  const int64_t grain = std::max<int64_t>(1, kElementwiseGrain / (strip * std::max<int64_t>(1, depth)));
  at::parallel_for(0, (columns + strip - 1) / strip, grain, [&](int64_t first, int64_t last) {
    float sums[kFewRows * 64];
    for (int64_t column = first * strip; column < std::min(columns, last * strip); column += strip) {
      const int64_t count = std::min(strip, columns - column);
      for (int64_t from = 0; from < rows; from += rowsAtOnce) {
        const int64_t some = std::min(rowsAtOnce, rows - from);
        sumFewRows<T>({dataOf<float>(wide) + from * depth, some, depth, dataOf<T>(weight) + column * stride, stride, count, sums, strip});
        for (int64_t row = 0; row < some; ++row) finish(from + row, column, count, sums + row * strip);
      }
    }
  });
}

TwoTensors linearForwardCpu(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                            c10::string_view activation, bool keepsBefore) {
  checkLinear(x, weight, bias, residual);
  const LinearActivation chosen = activationNamed(activation);
  const int64_t columns = weight.size(0), rows = weight.size(1) > 0 ? x.numel() / weight.size(1) : 0;
  const bool inPlace = readsInPlace(x, weight, rows);
  const GemmKernel* const kernel = inPlace ? nullptr : kernelFor(x, rows);
  if (kernel == nullptr && !inPlace) return linearForwardReference(x, weight, bias, residual, activation, keepsBefore);
  const Tensor b = bias.has_value() ? bias->contiguous() : Tensor(), r = residual.has_value() ? residual->contiguous() : Tensor();
  const Tensor y = at::empty(shapeOfLinear(x, weight), x.options()), before = keepsBefore ? at::empty_like(y) : at::empty({0}, x.options());
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto orNull = [](const Tensor& tensor) { return tensor.defined() ? dataOf<T>(tensor) : nullptr; };
    T* const kept = keepsBefore ? dataOf<T>(before) : nullptr;
    const Epilogue<T> finish{orNull(b), orNull(r), kept, dataOf<T>(y), columns, chosen};
    if (inPlace) return fewRowsProduct<T>(asMatrix(x), weight, finish);
    const OperandOf left(asMatrix(x)), right(weight);
    product(*kernel, left.operand, right.operand, finish);
  });
  return {y, before};
}

/** L Rᵀ without an epilogue. */
Tensor plainProduct(const GemmKernel& kernel, const Tensor& left, const Tensor& right, at::ScalarType dtype) {
  const OperandOf l(left), r(right);
  const Tensor out = at::empty({left.size(0), right.size(0)}, left.options().dtype(dtype));
  withElementsOf(out, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    product(kernel, l.operand, r.operand, Epilogue<T>{nullptr, nullptr, nullptr, dataOf<T>(out), right.size(0), LinearActivation::none});
  });
  return out;
}

Tensor linearInputGradientCpu(const Tensor& upstream, const Tensor& weight) {
  const Tensor left = asMatrix(upstream);
  const GemmKernel* const kernel = kernelFor(upstream, left.size(0));
  if (kernel == nullptr) return linearInputGradientReference(upstream, weight);
  std::vector<int64_t> shape = upstream.sizes().vec();
  shape.back() = weight.size(1);
  return plainProduct(*kernel, left, weight.t(), upstream.scalar_type()).view(shape);
}

Tensor linearWeightGradientCpu(const Tensor& upstream, const Tensor& x, bool inFloat32) {
  const Tensor left = asMatrix(upstream), right = asMatrix(x);
  const GemmKernel* const kernel = kernelFor(upstream, left.size(0));
  if (kernel == nullptr) return linearWeightGradientReference(upstream, x, inFloat32);
  return plainProduct(*kernel, left.t(), right.t(), inFloat32 ? at::kFloat : upstream.scalar_type());
}

/** Threads share the columns, so each sum is taken in the order of the rows. */
Tensor linearBiasGradientCpu(const Tensor& upstream) {
  if (!isOurs(upstream)) return linearBiasGradientReference(upstream);
  const Tensor rows = asMatrix(upstream).contiguous();
  const int64_t columns = rows.size(1), strip = 64;
  const Tensor sums = at::zeros({columns}, at::kFloat), out = at::empty({columns}, upstream.options());
  withElementsOf(rows, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const int64_t grain = std::max<int64_t>(1, kElementwiseGrain / strip / std::max<int64_t>(1, rows.size(0)));
    at::parallel_for(0, (columns + strip - 1) / strip, grain, [&](int64_t first, int64_t last) {
      const int64_t from = first * strip, count = std::min(columns, last * strip) - from;
      epilogueOf(element).addRows(dataOf<T>(rows) + from, rows.size(0), columns, dataOf<float>(sums) + from, count);
      epilogueOf(element).finish({dataOf<float>(sums) + from, nullptr, nullptr, nullptr, dataOf<T>(out) + from, count, LinearActivation::none});
    });
  });
  return out;
}

Tensor linearActivationGradientCpu(const Tensor& upstream, const Tensor& before, c10::string_view activation) {
  const LinearActivation chosen = activationNamed(activation);
  if (!isOurs(upstream)) return linearActivationGradientReference(upstream, before, activation);
  const Tensor dy = upstream.contiguous(), x = before.contiguous(), out = at::empty_like(dy);
  withElementsOf(dy, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    at::parallel_for(0, dy.numel(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
      epilogueOf(element).gradient(dataOf<T>(dy) + begin, dataOf<T>(x) + begin, dataOf<T>(out) + begin, end - begin, chosen);
    });
  });
  return out;
}

/** L Rᵀ of (rows, depth) matrices by one form, in the dtype of L: what tests and benchmarks compare. */
Tensor productBy(const Tensor& left, const Tensor& right, c10::string_view form) {
  const auto dtype = left.scalar_type();
  TORCH_CHECK(left.dim() == 2 && right.dim() == 2 && left.size(1) == right.size(1) && dtype == right.scalar_type(),
              "hearth::product_by: both must be (rows, depth) of one depth and dtype, got ", dtype, left.sizes(), " and ", right.scalar_type(),
              right.sizes());
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16, "hearth::product_by: float32 and bfloat16 only, got ", dtype);
  const GemmKernel* const kernel = kernelNamed(std::string(form), dtype);
  TORCH_CHECK(kernel != nullptr, "hearth::product_by: this processor lacks the form '", std::string(form), "'");
  return plainProduct(*kernel, left, right, dtype);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("linear_forward(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, str activation, bool keeps_before) -> (Tensor, Tensor)");
  library.def("linear_activation_gradient(Tensor upstream, Tensor before, str activation) -> Tensor");
  library.def("linear_input_gradient(Tensor upstream, Tensor weight) -> Tensor");
  library.def("linear_weight_gradient(Tensor upstream, Tensor x, bool in_float32=False) -> Tensor");
  library.def("linear_bias_gradient(Tensor upstream) -> Tensor");
  library.def("product_by(Tensor left, Tensor right, str form) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("linear_forward", linearForwardReference);
  library.impl("linear_activation_gradient", linearActivationGradientReference);
  library.impl("linear_input_gradient", linearInputGradientReference);
  library.impl("linear_weight_gradient", linearWeightGradientReference);
  library.impl("linear_bias_gradient", linearBiasGradientReference);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("linear_forward", linearForwardCpu);
  library.impl("linear_activation_gradient", linearActivationGradientCpu);
  library.impl("linear_input_gradient", linearInputGradientCpu);
  library.impl("linear_weight_gradient", linearWeightGradientCpu);
  library.impl("linear_bias_gradient", linearBiasGradientCpu);
  library.impl("product_by", productBy);
}

}  // namespace hearth
