// The loops of linear-cross-entropy.cc over one row of logits, one table a form; see simd/forms.h. And what its two
// files share.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

/** What the loss of one row is made of: log(sum) + most - target, in double outside the loops. */
struct LogitSums {
  /** The largest logit. */
  float most;
  /** Of e^(logit - most). */
  float sum;
  /** The logit of the target. */
  float target;
};

/** Logits are float or BFloat16, `bias` of the same type or nullptr; arithmetic is float32. */
template <typename T>
struct LogitLoops {
  LogitSums (*sums)(const T* logits, const T* bias, int64_t count, int64_t target);
  /** Also writes the gradient in place of the logits: scale * (softmax - 1 at the target). */
  LogitSums (*gradient)(T* logits, const T* bias, int64_t count, int64_t target, float scale);
};

struct LogitTable {
  LogitLoops<float> float32;
  LogitLoops<BFloat16> bfloat16;
};

HEARTH_FORMS(LogitTable, logitTable)

}  // namespace hearth
