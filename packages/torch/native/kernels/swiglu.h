// The loops of swiglu.cc, one table a form; see simd/forms.h.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** On `count` elements, float or BFloat16; arithmetic is float32. */
template <typename T>
struct SwigluLoops {
  /** out = silu(gate) * up. */
  void (*forward)(const T* gate, const T* up, T* out, int64_t count);
  void (*backward)(const T* upstream, const T* gate, const T* up, T* gateGradient, T* upGradient, int64_t count);
};

struct SwigluTable {
  SwigluLoops<float> float32;
  SwigluLoops<BFloat16> bfloat16;
};

HEARTH_FORMS(SwigluTable, swigluTable)

}  // namespace hearth
