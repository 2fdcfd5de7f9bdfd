// What happens to the sums of a product before they are written, and its gradient; the loops of linear.cc.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** gelu is x Φ(x) by the error function, geluTanh its approximation by a hyperbolic tangent. */
enum class LinearActivation { none, gelu, geluTanh, silu };

/** Operands of an epilogue, each at the place of the first sum; null for those that there are not. */
template <typename T>
struct EpilogueTask {
  const float* sums;
  const T* bias;
  const T* residual;
  /** Gets the sum and bias, before the activation. */
  T* before;
  T* out;
  int64_t count;
  LinearActivation activation;
};

template <typename T>
struct EpilogueLoops {
  /** out = activation(sums + bias) + residual. */
  void (*finish)(const EpilogueTask<T>& task);
  /** out = upstream * the derivative of the activation at `before`. */
  void (*gradient)(const T* upstream, const T* before, T* out, int64_t count, LinearActivation activation);
  /** Adds each of `rows` rows, which lie `stride` apart, to `sums`, one after the other. */
  void (*addRows)(const T* from, int64_t rows, int64_t stride, float* sums, int64_t columns);
};

struct EpilogueTable {
  EpilogueLoops<float> float32;
  EpilogueLoops<BFloat16> bfloat16;
};

HEARTH_FORMS(EpilogueTable, epilogueTable)

}  // namespace hearth
