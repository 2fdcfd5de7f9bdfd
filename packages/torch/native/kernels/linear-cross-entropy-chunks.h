// The work of linear-cross-entropy.cc: loss and gradients, chunk of rows by chunk of rows.
#pragma once
#include <ATen/ATen.h>

namespace hearth {

struct LossOperands {
  at::Tensor hidden;   // (N, D)
  at::Tensor weight;   // (V, D)
  at::Tensor bias;     // (V), or undefined
  at::Tensor targets;  // (N) int64
  int64_t ignoreIndex;
  bool mean;
};

/** Which gradients are wanted. */
struct LossWanted {
  bool hidden, weight, bias;
  bool any() const { return hidden || weight || bias; }
};

/** A scalar loss, float32 (float64 for operands in float64), and its gradients in the dtypes of the operands; undefined where not wanted. */
struct LossResult {
  at::Tensor loss, hidden, weight, bias;
};

LossResult lossInChunks(const LossOperands& operands, const LossWanted& wanted);

}  // namespace hearth
