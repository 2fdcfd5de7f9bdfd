// Which form of matrix product runs: the best one of this processor, or the one that HEARTH_GEMM names.
#pragma once
#include <ATen/ATen.h>

#include <string>

#include "kernels/gemm/kernel.h"

namespace hearth {

/** The form for operands of `dtype`; null where the library's product is to be taken. Chosen once a process. */
const GemmKernel* chosenKernel(at::ScalarType dtype);

/**
 * The form of that name for operands of `dtype`; null where this processor lacks it. `floats` multiplies in float32, and for
 * bfloat16 there are `pairs`, `amx` and `emulated` as well. Throws for other names.
 */
const GemmKernel* kernelNamed(const std::string& name, at::ScalarType dtype);

/** The name of the form for `dtype`: `library` where there is none. */
std::string chosenName(at::ScalarType dtype);

/** L and R of a product from tensors (rows, depth) of any strides, copied where neither stride is 1. `kept` owns what `operand` points to. */
struct OperandOf {
  explicit OperandOf(const at::Tensor& matrix);
  at::Tensor kept;
  Operand operand;
};

}  // namespace hearth
