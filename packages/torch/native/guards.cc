// See guards.h. Guards read the arguments by their place in the schema, which is the same in all supported versions.
#include "guards.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>

#include "errors.h"

namespace hearth {

namespace {

using Stack = std::vector<c10::IValue>;

/** The tensor at that place, where it is one whose memory a CPU kernel would read; undefined otherwise. */
at::Tensor tensorIn(const Stack& arguments, size_t index) {
  if (!arguments[index].isTensor()) return {};
  at::Tensor tensor = arguments[index].toTensor();
  const bool plain = tensor.defined() && tensor.device().is_cpu() && tensor.layout() == c10::kStrided;
  return plain ? tensor : at::Tensor();
}

void checkRange(const at::Tensor& indices, int64_t end, const char* what) {
  if (!indices.defined() || indices.numel() == 0) return;
  if (!at::isIntegralType(indices.scalar_type(), /*includeBool=*/false))
    throw ArgumentError(std::string("argument '") + what + "' must be integers, got " + c10::toString(indices.scalar_type()));
  const at::AutoDispatchBelowADInplaceOrView below;
  const int64_t least = indices.min().item<int64_t>(), most = indices.max().item<int64_t>();
  if (least < 0 || most >= end)
    throw ArgumentError(std::string("argument '") + what + "' has values from " + std::to_string(least) + " to " + std::to_string(most) +
                        ", expected 0 to " + std::to_string(end - 1));
}

/** (grad_output, indices, num_weights, ...): writes to the rows that indices name, wherever those are. */
void embeddingBackward(const Stack& arguments) {
  checkRange(tensorIn(arguments, 1), arguments[2].toInt(), "indices");
}

/** (sorted_sequence, self, *, ..., sorter) in 1.13: reads where the sorter points. */
void searchsorted(const Stack& arguments) {
  const at::Tensor sequence = tensorIn(arguments, 0);
  if (sequence.defined() && sequence.dim() > 0) checkRange(tensorIn(arguments, 5), sequence.size(-1), "sorter");
}

void checkSame(const at::Tensor& a, const at::Tensor& b, const char* what) {
  if (!a.defined() || !b.defined()) return;
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type())
    throw ArgumentError(std::string(what) + " must have the same shape and dtype");
}

/** (grad_output, output, dim, input_dtype): both are read by the sizes of the first. */
void softmaxBackward(const Stack& arguments) {
  checkSame(tensorIn(arguments, 0), tensorIn(arguments, 1), "arguments 'grad_output' and 'output'");
}

/** (grad_out, input, normalized_shape, mean, rstd, ...): the statistics are read by the sizes of the input. */
void layerNormBackward(const Stack& arguments) {
  const at::Tensor input = tensorIn(arguments, 1);
  if (!input.defined() || input.numel() == 0) return;
  checkSame(tensorIn(arguments, 0), input, "arguments 'grad_out' and 'input'");
  int64_t width = 1;
  for (const int64_t size : arguments[2].toIntVector()) width *= std::max<int64_t>(size, 1);
  for (const size_t index : {3, 4}) {
    const at::Tensor statistic = tensorIn(arguments, index);
    if (statistic.defined() && statistic.numel() * width != input.numel())
      throw ArgumentError("arguments 'mean' and 'rstd' must have one element for each normalized row of 'input'");
  }
}

/** More would take minutes and gigabytes to make, outside all limits on tensors, and nobody can hold them. */
constexpr int64_t kMostPieces = int64_t{1} << 20;

void checkPieces(int64_t pieces) {
  if (pieces > kMostPieces) throw ArgumentError("would make " + std::to_string(pieces) + " tensors, expected at most 2^20");
}

/** The size of a tensor along the dimension at that place; -1 where that is no dimension, which the operator will say. */
int64_t sizeAlong(const Stack& arguments, size_t dimIndex) {
  const at::Tensor& tensor = arguments[0].toTensor();
  int64_t dim = arguments[dimIndex].toInt();
  if (dim < 0) dim += tensor.dim();
  return tensor.defined() && dim >= 0 && dim < tensor.dim() ? tensor.size(dim) : -1;
}

/** (self, chunks, dim): an empty dimension gives as many pieces as are asked for. */
void chunk(const Stack& arguments) {
  if (sizeAlong(arguments, 2) == 0) checkPieces(arguments[1].toInt());
  else checkPieces(std::min(arguments[1].toInt(), sizeAlong(arguments, 2)));
}

/** (self, split_size, dim) */
void split(const Stack& arguments) {
  const int64_t size = arguments[1].toInt();
  if (size > 0) checkPieces(sizeAlong(arguments, 2) / size);
}

/** (self, dim) */
void unbind(const Stack& arguments) { checkPieces(sizeAlong(arguments, 1)); }

const std::unordered_map<std::string, Guard>& guards() {
  static const auto* table = new std::unordered_map<std::string, Guard>{
      {"aten::embedding_dense_backward", embeddingBackward},
      {"aten::searchsorted.Tensor", searchsorted},
      {"aten::chunk", chunk},
      {"aten::split.Tensor", split},
      {"aten::unbind.int", unbind},
      {"aten::_softmax_backward_data", softmaxBackward},
      {"aten::_log_softmax_backward_data", softmaxBackward},
      {"aten::native_layer_norm_backward", layerNormBackward},
  };
  return *table;
}

}  // namespace

Guard guardOf(const std::string& operatorName) {
  const auto found = guards().find(operatorName);
  return found == guards().end() ? nullptr : found->second;
}

}  // namespace hearth
