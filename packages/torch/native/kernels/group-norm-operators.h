// What the files of group norm share: group-norm.cc (our loops), group-norm-reference.cc (ATen), group-norm-operators.cc
// (registration).
#pragma once
#include <ATen/ATen.h>

namespace hearth {

/** Of x (B, ..., C) + shift (B, C), which may be undefined; weight and bias (C). */
struct GroupNormOperands {
  at::Tensor x, shift, weight, bias;
  int64_t groups;
  double eps;
  bool silu;

  int64_t batch() const { return x.size(0); }
  int64_t channels() const { return x.size(-1); }
  int64_t pixels() const { return batch() * channels() == 0 ? 0 : x.numel() / batch() / channels(); }
  int64_t ofGroup() const { return channels() / groups; }
};

/** `statistics` (B, groups, 2): the mean of every group, and 1 / sqrt(variance + eps). */
struct GroupNormResult {
  at::Tensor normed, statistics;
};

/** `shift` is undefined where there was none. */
struct GroupNormGradients {
  at::Tensor x, shift, weight, bias;
};

GroupNormResult groupNormCpu(const GroupNormOperands& operands);
GroupNormGradients groupNormBackwardCpu(const at::Tensor& upstream, const at::Tensor& statistics, const GroupNormOperands& operands);
GroupNormResult groupNormReference(const GroupNormOperands& operands);
GroupNormGradients groupNormBackwardReference(const at::Tensor& upstream, const at::Tensor& statistics, const GroupNormOperands& operands);

}  // namespace hearth
