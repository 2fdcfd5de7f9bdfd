// hearth::rms_norm and hearth::layer_norm, with the residual sum before them: one pass over memory forward, one backward.
// Gradients of the weights are summed over 64 rows at a time and those sums in their order, so that threads do not show.
// Sources: Zhang, Sennrich, "Root Mean Square Layer Normalization", 2019; Ba, Kiros, Hinton, "Layer Normalization", 2016.
#include "kernels/norm.h"

#include <algorithm>

#include "kernels/norm-operators.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

constexpr int64_t kRowsOfChunk = 64;

template <typename T>
const NormLoops<T>& loopsOf(const T*, bool centred) {
  const NormTable& table = normTable();
  if constexpr (std::is_same_v<T, float>) return centred ? table.layerFloat32 : table.rmsFloat32;
  else return centred ? table.layerBfloat16 : table.rmsBfloat16;
}

int64_t grainOf(int64_t width) { return std::max<int64_t>(1, kElementwiseGrain / std::max<int64_t>(1, width)); }

template <typename T>
T* orNull(const Tensor& tensor) {
  return tensor.defined() ? dataOf<T>(tensor) : nullptr;
}

/** Row `r` of a matrix that may not be there. */
template <typename T>
T* rowOf(T* matrix, int64_t r, int64_t width) {
  return matrix == nullptr ? nullptr : matrix + r * width;
}

Tensor inFloat32(const Tensor& tensor) { return tensor.defined() ? tensor.to(at::kFloat).contiguous() : tensor; }

}  // namespace

NormResult normCpu(const NormOperands& operands) {
  if (!isOurs(operands.x)) return normReference(operands);
  const Tensor x = operands.x.contiguous(), residual = operands.residual.defined() ? operands.residual.contiguous() : Tensor();
  const Tensor weight = inFloat32(operands.weight), bias = inFloat32(operands.bias);
  const int64_t width = weight.numel(), rows = x.numel() / width;
  const NormResult result{residual.defined() ? at::empty_like(x) : Tensor(), at::empty_like(x), at::empty({rows, 2}, x.options().dtype(at::kFloat))};
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto forward = loopsOf(element, operands.centred).forward;
    T* const sum = orNull<T>(result.sum);
    auto* const statistics = static_cast<RowStatistics*>(result.statistics.data_ptr());
    at::parallel_for(0, rows, grainOf(width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        statistics[r] = forward(dataOf<T>(x) + r * width, rowOf(orNull<T>(residual), r, width), dataOf<float>(weight), orNull<float>(bias),
                                rowOf(sum, r, width), dataOf<T>(result.normed) + r * width, width, static_cast<float>(operands.eps));
    });
  });
  return result;
}

NormGradients normBackwardCpu(const NormUpstream& upstream) {
  if (!isOurs(upstream.sum)) return normBackwardReference(upstream);
  const Tensor x = upstream.sum.contiguous(), dy = upstream.normedUpstream.contiguous(), weight = inFloat32(upstream.weight);
  const Tensor sumUpstream = upstream.sumUpstream.defined() ? upstream.sumUpstream.contiguous() : Tensor();
  const int64_t width = weight.numel(), rows = x.numel() / width, chunks = (rows + kRowsOfChunk - 1) / kRowsOfChunk;
  // Behind each other for every chunk: the gradient of the weight, then that of the bias.
  const int64_t both = upstream.hasBias ? 2 * width : width;
  const Tensor gradient = at::empty_like(x), parts = at::zeros({chunks, both}, weight.options()), sums = at::zeros({both}, weight.options());
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto backward = loopsOf(element, upstream.centred).backward;
    const auto* const statistics = static_cast<const RowStatistics*>(upstream.statistics.data_ptr());
    at::parallel_for(0, chunks, std::max<int64_t>(1, grainOf(width) / kRowsOfChunk), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin * kRowsOfChunk; r < std::min(end * kRowsOfChunk, rows); ++r) {
        float* const part = dataOf<float>(parts) + r / kRowsOfChunk * both;
        backward(dataOf<T>(dy) + r * width, rowOf(orNull<T>(sumUpstream), r, width), dataOf<T>(x) + r * width, dataOf<float>(weight), statistics[r],
                 dataOf<T>(gradient) + r * width, part, upstream.hasBias ? part + width : nullptr, width);
      }
    });
  });
  addRowsTo(sums, parts);
  const Tensor ofWeights = sums.to(upstream.weight.scalar_type());
  return {gradient, ofWeights.narrow(0, 0, width), upstream.hasBias ? ofWeights.narrow(0, width, width) : Tensor()};
}

}  // namespace hearth
