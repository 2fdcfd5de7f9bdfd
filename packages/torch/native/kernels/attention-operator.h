// What the parts of hearth::attention share: its arguments, and its form of ATen's operators. For the operator see attention.cc.
#pragma once
#include <ATen/ATen.h>

namespace hearth {

/** See hearth::attention in attention.cc. */
struct AttentionArguments {
  at::Tensor q, k, v;
  double scale;
  bool causal;
  int64_t window;
  c10::optional<at::Tensor> documents, cos, sin;

  int64_t batch() const { return q.size(0); }
  int64_t heads() const { return q.size(1); }
  int64_t queries() const { return q.size(2); }
  int64_t keyHeads() const { return k.size(1); }
  int64_t keys() const { return k.size(2); }
  int64_t width() const { return q.size(3); }
  bool hasDocuments() const { return documents.has_value() && documents->defined(); }
  bool turns() const { return cos.has_value() && cos->defined(); }
};

/** What the backward pass gets besides: the gradient of the output, and both results of the forward pass. */
struct AttentionResults {
  at::Tensor upstream, out, logsumexp;
};

/** Uninitialised, of the shape (B, H, T, E) of `like`, and in memory (B, T, H, E) where that is. */
inline at::Tensor emptyLike(const at::Tensor& like) {
  const auto sizes = like.sizes();
  if (like.stride(1) >= like.stride(2)) return at::empty(sizes, like.options());
  return at::empty({sizes[0], sizes[2], sizes[1], sizes[3]}, like.options()).transpose(1, 2);
}

using TwoTensors = std::tuple<at::Tensor, at::Tensor>;
using ThreeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

TwoTensors attentionReference(const AttentionArguments& arguments);
ThreeTensors attentionBackwardReference(const AttentionResults& results, const AttentionArguments& arguments);

/** For what isOurs() (operands.h). */
TwoTensors attentionKernel(const AttentionArguments& arguments);
ThreeTensors attentionBackwardKernel(const AttentionResults& results, const AttentionArguments& arguments);

}  // namespace hearth
