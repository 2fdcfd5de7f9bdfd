// The parts of hearth::linear that its operators and their autograd share.
#pragma once
#include <ATen/ATen.h>

#include <tuple>

#include "kernels/gemm/epilogue.h"

namespace hearth {

using OptionalTensor = c10::optional<at::Tensor>;

/** `none`, `gelu`, `gelu_tanh` or `silu`. Throws for other names. */
LinearActivation activationNamed(c10::string_view name);

/** Throws, with all shapes, where the operands of y = x Wᵀ + b do not fit. */
void checkLinear(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual);

/** The shape of y. */
std::vector<int64_t> shapeOfLinear(const at::Tensor& x, const at::Tensor& weight);

/** x as (rows, width), whatever lies before its last dimension. */
inline at::Tensor asMatrix(const at::Tensor& x) { return x.dim() == 2 ? x : x.reshape({-1, x.size(-1)}); }

/** The dtype in which ATen is to multiply x: float32 for the bfloat16 of processors that only imitate it. */
at::ScalarType arithmeticOf(const at::Tensor& x);

// The same operators made of ATen's, for other devices and dtypes and for comparison.
std::tuple<at::Tensor, at::Tensor> linearForwardReference(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias,
                                                          const OptionalTensor& residual, c10::string_view activation, bool keepsBefore);
at::Tensor linearActivationGradientReference(const at::Tensor& upstream, const at::Tensor& before, c10::string_view activation);
at::Tensor linearInputGradientReference(const at::Tensor& upstream, const at::Tensor& weight);
at::Tensor linearWeightGradientReference(const at::Tensor& upstream, const at::Tensor& x, bool inFloat32);
at::Tensor linearBiasGradientReference(const at::Tensor& upstream);

}  // namespace hearth
