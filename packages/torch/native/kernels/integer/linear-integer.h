// A quantised weight as the operators of this folder see it.
#pragma once
#include <ATen/ATen.h>

#include "kernels/integer/integer.h"

namespace hearth {

struct PackedWeight {
  const uint8_t* bytes;
  const BFloat16* scales;
  int64_t bits;
  /** Of 16 outputs. */
  int64_t blocks;
  int64_t groups;
  int64_t outputs;
};

/** Throws, with all shapes, where they are not what hearth::quantise_weight gives for such a weight. */
PackedWeight packedWeight(const at::Tensor& packed, const at::Tensor& scales, int64_t outputs, int64_t inputs);

}  // namespace hearth
