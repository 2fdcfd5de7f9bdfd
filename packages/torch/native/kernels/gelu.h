// The loops of gelu.cc, one table a form; see simd/forms.h.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** On `count` elements, float or BFloat16, with a bias of as many or nullptr; arithmetic is float32. */
template <typename T>
struct GeluLoops {
  /** out = gelu(x + bias). */
  void (*forward)(const T* x, const T* bias, T* out, int64_t count);
  void (*backward)(const T* upstream, const T* x, const T* bias, T* gradient, int64_t count);
};

struct GeluTable {
  /** By the error function. */
  GeluLoops<float> erfFloat32;
  GeluLoops<BFloat16> erfBfloat16;
  /** By the hyperbolic tangent. */
  GeluLoops<float> tanhFloat32;
  GeluLoops<BFloat16> tanhBfloat16;
};

HEARTH_FORMS(GeluTable, geluTable)

}  // namespace hearth
