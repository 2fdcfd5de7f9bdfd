// The loops of group-norm.cc over some pixels of one image, channels last, one table a form; see simd/forms.h. They know
// channels alone: groups are a matter of what their coefficients are made of.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** Of every channel: y = (x - centre) * scale + offset, and silu of that where it is wanted. */
struct ChannelMap {
  const float* centre;
  const float* scale;
  const float* offset;
  bool silu;
};

/** `rows` pixels of `channels` each; elements are float or BFloat16, the rest is float32. */
template <typename T>
struct GroupNormLoops {
  /** The mean of every channel, and the sum of the squares of the distances from it. */
  void (*moments)(const T* x, int64_t rows, int64_t channels, float* mean, float* squares);
  void (*forward)(const T* x, const ChannelMap& map, int64_t rows, int64_t channels, T* out);
  /** Of every channel, with d the gradient before the silu: the sums of d, of d (x - centre) and of x - centre, behind each other. */
  void (*sums)(const T* upstream, const T* x, const ChannelMap& map, int64_t rows, int64_t channels, float* sums);
  /** gradient = scale * d + constant + slope * (x - centre). */
  void (*backward)(const T* upstream, const T* x, const ChannelMap& map, const float* constant, const float* slope, int64_t rows, int64_t channels,
                   T* gradient);
};

struct GroupNormTable {
  GroupNormLoops<float> float32;
  GroupNormLoops<BFloat16> bfloat16;
};

HEARTH_FORMS(GroupNormTable, groupNormTable)

}  // namespace hearth
