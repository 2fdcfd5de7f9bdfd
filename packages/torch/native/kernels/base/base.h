// A weight that stays as it is while something beside it is trained (QLoRA), in 4 or 8 bits: how it lies in memory, and the
// loops over it, one table a form; see simd/forms.h. It is row-major and cut into blocks of 64, wherever rows end, as
// bitsandbytes cuts it.
// Source: Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, arXiv:2305.14314, section 3.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** Weights that share a scale. */
constexpr int64_t kBaseBlock = 64;
/** Scales of NF4 that share a scale of their own: the second quantisation. */
constexpr int64_t kNestedBlock = 256;

/** The 16 values of NF4: quantiles of the normal distribution within ±1, with an exact 0 (appendix E). */
constexpr float kNormalFloats[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

struct BaseWeight {
  /** NF4: two codes a byte, the first in the upper half. Else q + 128. */
  const uint8_t* codes;
  /** NF4: the scale of a block is scaleValues[scaleCodes[block]] * nested[1 + block / 256] + nested[0]. Null otherwise. */
  const uint8_t* scaleCodes;
  const float* scaleValues;
  const float* nested;
  /** 8 bits: the scale of a block. */
  const BFloat16* units;
};

struct BaseTable {
  /** `count` weights from weight `first` on, which may lie anywhere in a block. */
  void (*decodeFloats)(const BaseWeight& weight, int64_t first, int64_t count, float* out);
  void (*decodeHalves)(const BaseWeight& weight, int64_t first, int64_t count, BFloat16* out);
  /** A block of 64 floats to 32 bytes of NF4; gives the largest magnitude, which is its scale. */
  float (*encodeNormalFloats)(const float* weights, uint8_t* bytes);
};

HEARTH_FORMS(BaseTable, baseTable)

}  // namespace hearth
