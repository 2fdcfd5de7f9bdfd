// What the files of the norms share: norm.cc (our loops), norm-reference.cc (ATen), norm-operators.cc (registration).
#pragma once
#include <ATen/ATen.h>

namespace hearth {

/** Of every row of x (..., width); `residual` and `bias` may be undefined. Centred: layer norm, else RMS norm. */
struct NormOperands {
  at::Tensor x, residual, weight, bias;
  double eps;
  bool centred;
};

/** `sum` is undefined where there was no residual; `statistics` (rows, 2) is for the backward pass. */
struct NormResult {
  at::Tensor sum, normed, statistics;
};

/** `sum` is what was normalised; `sumUpstream` may be undefined. */
struct NormUpstream {
  at::Tensor sumUpstream, normedUpstream, sum, weight, statistics;
  bool hasBias, centred;
};

/** Of x, which is that of the residual too, and of the weights. */
struct NormGradients {
  at::Tensor x, weight, bias;
};

NormResult normCpu(const NormOperands& operands);
NormGradients normBackwardCpu(const NormUpstream& upstream);
NormResult normReference(const NormOperands& operands);
NormGradients normBackwardReference(const NormUpstream& upstream);

}  // namespace hearth
