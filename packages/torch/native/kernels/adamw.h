// The loops of adamw.cc and adamw-8bit.cc, one table a form; see simd/forms.h. And the numbers that both forms of the
// operator work out before their loop.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** What the loops need, worked out once in double precision. */
struct AdamwCoefficients {
  float decay;          // 1 - learning rate * weight decay
  float stepSize;       // learning rate * sqrt(1 - beta2^t) / (1 - beta1^t)
  float epsilon;        // eps * sqrt(1 - beta2^t): the correction of v moved out of the loop
  float gradientScale;  // clipping and averaging, applied while the gradient passes by
  float oneMinusBeta1, beta2, oneMinusBeta2;
};

/** Throws for a step below 1. */
AdamwCoefficients adamwCoefficients(double learningRate, double beta1, double beta2, double eps, double weightDecay, int64_t step, double gradientScale);

/** Where a step reads and writes: `out` may be `in`, which is a step in place. */
struct AdamwState {
  float *weight, *m, *v;
};

/** Moments in bytes (byte-codes.h), each block of kMomentBlock with the magnitude of its largest element. */
struct AdamwByteState {
  float* weight;
  uint8_t *m, *v;
  float *mLargest, *vLargest;
};

constexpr int64_t kMomentBlock = 256;

struct AdamwTable {
  /** Elements [begin, end). */
  void (*step)(const AdamwState& in, const float* gradient, const AdamwState& out, int64_t begin, int64_t end, const AdamwCoefficients& c);
  /** Blocks [first, last) of `count` elements; the last of all may be short. */
  void (*stepOfBytes)(const AdamwByteState& in, const float* gradient, const AdamwByteState& out, int64_t first, int64_t last, int64_t count,
                      const AdamwCoefficients& c);
};

HEARTH_FORMS(AdamwTable, adamwTable)

}  // namespace hearth
