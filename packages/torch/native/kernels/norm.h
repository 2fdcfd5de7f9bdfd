// The loops of norm.cc over one row, one table a form; see simd/forms.h.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** What the backward pass needs of a row besides its elements. */
struct RowStatistics {
  float mean;
  /** 1 / sqrt(variance + eps); the mean square in place of the variance where the mean is not taken away. */
  float scale;
};

/** Elements are float or BFloat16, weights and arithmetic float32. */
template <typename T>
struct NormLoops {
  /** sum = x + residual (where there is one), normed = (sum - mean) * scale * weight + bias (where there is one). */
  RowStatistics (*forward)(const T* x, const T* residual, const float* weight, const float* bias, T* sum, T* normed, int64_t width, float eps);
  /** gradient = that of the row, + sumUpstream where there is one; adds the row's part to the weights' gradients. */
  void (*backward)(const T* upstream, const T* sumUpstream, const T* x, const float* weight, RowStatistics row, T* gradient, float* weightGradient,
                   float* biasGradient, int64_t width);
};

struct NormTable {
  /** Root mean square normalisation. */
  NormLoops<float> rmsFloat32;
  NormLoops<BFloat16> rmsBfloat16;
  /** Layer normalisation: the mean taken away. */
  NormLoops<float> layerFloat32;
  NormLoops<BFloat16> layerBfloat16;
};

HEARTH_FORMS(NormTable, normTable)

}  // namespace hearth
