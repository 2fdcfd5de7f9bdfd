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

/** Over `count` logits of one row; `bias` may be nullptr. */
struct LogitTable {
  LogitSums (*sums)(const float* logits, const float* bias, int64_t count, int64_t target);
  /** Also writes the gradient, scale * (softmax - 1 at the target), to where the logits are, from their first byte on. */
  LogitSums (*gradient)(float* logits, const float* bias, int64_t count, int64_t target, float scale);
  LogitSums (*gradientBfloat16)(float* logits, const float* bias, int64_t count, int64_t target, float scale);
};

HEARTH_FORMS(LogitTable, logitTable)

}  // namespace hearth
