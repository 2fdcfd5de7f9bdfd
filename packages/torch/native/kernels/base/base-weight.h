// A quantised base as the operators of this folder see it.
#pragma once
#include <ATen/ATen.h>

#include "kernels/base/base.h"

namespace hearth {

/** Throws, with all shapes, where they are not what hearth::quantise_base gives for such a weight. */
BaseWeight baseWeight(const at::Tensor& codes, const at::Tensor& scales, const at::Tensor& nested, int64_t outputs, int64_t inputs);

/** The whole weight (outputs, inputs) by ATen's operators, on any device. */
at::Tensor dequantiseReference(const at::Tensor& codes, const at::Tensor& scales, const at::Tensor& nested, int64_t outputs, int64_t inputs,
                               at::ScalarType dtype);

}  // namespace hearth
