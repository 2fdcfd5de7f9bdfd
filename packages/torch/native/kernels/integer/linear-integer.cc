// hearth::linear_integer: y = activation(x Wᵀ + b) + residual with W in 8 or 4 bit integers, for running models. x becomes
// 8-bit integers too, group by group, so that a group's products are added exactly, by instructions for bytes; groups are
// added in float32 in their order. A row's result does not depend on the rows beside it, nor on the number of threads. One
// token reads each weight once and is bound by memory: a weight of 8.25 bits then costs half of one in bfloat16.
#include "kernels/integer/linear-integer.h"

#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/gemm/linear.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

/** Products with a block of outputs whose rows of x still lie in the second cache. */
constexpr int64_t kRowsAtOnce = 64;

struct QuantisedRows {
  Tensor values, scales, sums;
};

template <typename T>
auto quantiserOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return integerTable().quantiseFloats;
  else return integerTable().quantiseHalves;
}

QuantisedRows quantiseRows(const Tensor& x) {
  const int64_t rows = x.size(0), inputs = x.size(1), groups = (inputs + kGroup - 1) / kGroup;
  const QuantisedRows made{at::empty({rows, groups, kGroup}, at::kChar), at::empty({rows, groups}, at::kFloat), at::empty({rows, groups}, at::kInt)};
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    at::parallel_for(0, rows, std::max<int64_t>(1, kElementwiseGrain / inputs), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        quantiserOf(element)(dataOf<T>(x) + row * inputs, inputs, dataOf<int8_t>(made.values) + row * groups * kGroup,
                             dataOf<float>(made.scales) + row * groups, dataOf<int32_t>(made.sums) + row * groups);
    });
  });
  return made;
}

/** What of x the integers keep, in x's shape and dtype. */
Tensor keptOfRows(const Tensor& x) {
  TORCH_CHECK(x.dim() == 2 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16), "hearth::integer_rows: x must be (rows, inputs) of float32 or bfloat16, got ",
              x.scalar_type(), x.sizes());
  const QuantisedRows made = quantiseRows(x.contiguous());
  const Tensor floats = made.values.to(at::kFloat) * made.scales.unsqueeze(-1);  // (rows, groups, 64)
  return floats.reshape({x.size(0), -1}).narrow(1, 0, x.size(1)).contiguous();
}

template <typename T>
const EpilogueLoops<T>& epilogueOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return epilogueTable().float32;
  else return epilogueTable().bfloat16;
}

void checkOperands(const Tensor& x, at::IntArrayRef shape, const OptionalTensor& bias, const OptionalTensor& residual) {
  const auto fits = [&](const OptionalTensor& tensor, at::IntArrayRef sizes) {
    return !tensor.has_value() || (tensor->sizes() == sizes && tensor->scalar_type() == x.scalar_type());
  };
  TORCH_CHECK(fits(bias, shape.slice(shape.size() - 1)) && fits(residual, shape), "hearth::linear_integer: bias must be (", shape.back(), ") and residual ",
              shape, ", both ", x.scalar_type());
}

/** Everything that the blocks of outputs share. Operands of the epilogue are null where there are none. */
template <typename T>
struct IntegerProduct {
  PackedWeight weight;
  const QuantisedRows& x;
  const T* bias;
  const T* residual;
  T* out;
  LinearActivation activation;

  /** Some rows of x with the outputs of some blocks. */
  void operator()(int64_t first, int64_t rows, int64_t beginBlock, int64_t endBlock) const {
    const auto products = weight.bits == 8 ? integerTable().products8 : integerTable().products4;
    const int64_t at = first * weight.groups;
    const IntegerRows some{dataOf<int8_t>(x.values) + at * kGroup, dataOf<float>(x.scales) + at, dataOf<int32_t>(x.sums) + at, weight.groups};
    float sums[kRowsAtOnce * kOutputs];
    for (int64_t block = beginBlock; block < endBlock; ++block) {
      const int64_t place = block * weight.groups, column = block * kOutputs, count = std::min(kOutputs, weight.outputs - column);
      products(some, rows, weight.bytes + place * bytesOfGroup(weight.bits), weight.scales + place * kOutputs, sums);
      for (int64_t row = 0; row < rows; ++row) finish(sums + row * kOutputs, (first + row) * weight.outputs + column, column, count);
    }
  }

  void finish(const float* sums, int64_t to, int64_t column, int64_t count) const {
    epilogueOf(out).finish({sums, bias ? bias + column : nullptr, residual ? residual + to : nullptr, nullptr, out + to, count, activation});
  }
};

Tensor linearInteger(const Tensor& x, const Tensor& packed, const Tensor& scales, int64_t outputs, const OptionalTensor& bias,
                     const OptionalTensor& residual, c10::string_view activation) {
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) > 0 && x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "hearth::linear_integer: x must be (..., inputs) of float32 or bfloat16 on the CPU, got ", x.scalar_type(), x.sizes());
  const PackedWeight weight = packedWeight(packed, scales, outputs, x.size(-1));
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = outputs;
  checkOperands(x, shape, bias, residual);
  const Tensor rows = asMatrix(x).contiguous(), y = at::empty(shape, x.options());
  const Tensor b = bias.has_value() ? bias->contiguous() : Tensor(), r = residual.has_value() ? residual->contiguous() : Tensor();
  const QuantisedRows made = quantiseRows(rows);
  withElementsOf(rows, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto orNull = [](const Tensor& tensor) { return tensor.defined() ? dataOf<T>(tensor) : nullptr; };
    const IntegerProduct<T> some{weight, made, orNull(b), orNull(r), dataOf<T>(y), activationNamed(activation)};
    at::parallel_for(0, weight.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t first = 0; first < rows.size(0); first += kRowsAtOnce) some(first, std::min(kRowsAtOnce, rows.size(0) - first), begin, end);
    });
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("integer_rows(Tensor x) -> Tensor", keptOfRows);
  library.def("linear_integer(Tensor x, Tensor packed, Tensor scales, int outputs, Tensor? bias=None, Tensor? residual=None, str activation=\"none\") -> Tensor",
              linearInteger);
}

}  // namespace hearth
