// hearth::squared_norms: the squared Euclidean norm of each gradient, for all of them in one call and one pass. Squares
// are summed in float32 over chunks of a fixed size, and the chunks of a gradient in double in their order: neither threads
// nor workers that share the gradients show in the bits.
#include <torch/library.h>

#include <vector>

#include "kernels/operands.h"
#include "kernels/sum-of-squares.h"

namespace hearth {

namespace {

using at::Tensor;

/** Elements; 2^14 floats stay near the processor. Also NORM_CHUNK in packages/hearth/src/optim/clipping.ts. */
constexpr int64_t kChunk = 1 << 14;

struct Chunk {
  /** Which gradient it is of. */
  size_t owner;
  const void* data;
  int64_t count;
  bool isFloat;
};

void addChunks(std::vector<Chunk>& chunks, size_t owner, const Tensor& tensor) {
  const auto* const data = static_cast<const char*>(tensor.data_ptr());
  for (int64_t i = 0; i < tensor.numel(); i += kChunk)
    chunks.push_back({owner, data + i * tensor.element_size(), std::min(kChunk, tensor.numel() - i), tensor.scalar_type() == at::kFloat});
}

/** Norms of the chunks of one tensor by ATen: where they are, as one or two vectors. */
void addChunkNorms(std::vector<Tensor>& norms, const Tensor& tensor) {
  const Tensor flat = tensor.reshape({-1});
  const int64_t size = flat.numel(), whole = size - size % kChunk;
  const auto normOfRows = [](const Tensor& rows) {
    const auto type = rows.device().is_cpu() || rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, false, type);
  };
  if (whole > 0) norms.push_back(normOfRows(flat.narrow(0, 0, whole).view({-1, kChunk})));
  if (whole < size) norms.push_back(normOfRows(flat.narrow(0, whole, size - whole).view({1, -1})));
}

Tensor squaredNormsReference(at::TensorList gradients) {
  std::vector<Tensor> norms;
  std::vector<int64_t> ends;
  for (const Tensor& gradient : gradients) {
    addChunkNorms(norms, gradient);
    ends.push_back((ends.empty() ? 0 : ends.back()) + (gradient.numel() + kChunk - 1) / kChunk);
  }
  const Tensor result = at::zeros({static_cast<int64_t>(gradients.size())}, at::kDouble);
  if (norms.empty()) return result;
  // Gathered first: one wait for the device, not one a tensor.
  const Tensor all = at::cat(norms).to(at::kCPU).to(at::kDouble).contiguous();
  double* const sums = result.data_ptr<double>();
  for (size_t owner = 0, i = 0; owner < ends.size(); ++owner)
    for (; static_cast<int64_t>(i) < ends[owner]; ++i) sums[owner] += all.data_ptr<double>()[i] * all.data_ptr<double>()[i];
  return result;
}

Tensor squaredNorms(at::TensorList gradients) {
  const at::NoGradGuard noGrad;
  for (const Tensor& gradient : gradients) TORCH_CHECK(gradient.defined() && at::isFloatingType(gradient.scalar_type()), "hearth::squared_norms: gradients must be floats");
  for (const Tensor& gradient : gradients)
    if (!isOurs(gradient)) return squaredNormsReference(gradients);
  std::vector<Tensor> plain;
  std::vector<Chunk> chunks;
  for (const Tensor& gradient : gradients) plain.push_back(gradient.contiguous());
  for (size_t i = 0; i < plain.size(); ++i) addChunks(chunks, i, plain[i]);
  std::vector<double> sums(chunks.size());
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& [owner, data, count, isFloat] = chunks[i];
      sums[i] = isFloat ? sumOfSquaresTable().float32(static_cast<const float*>(data), count)
                        : sumOfSquaresTable().bfloat16(static_cast<const BFloat16*>(data), count);
    }
  });
  const Tensor result = at::zeros({static_cast<int64_t>(gradients.size())}, at::kDouble);
  for (size_t i = 0; i < chunks.size(); ++i) result.data_ptr<double>()[chunks[i].owner] += sums[i];
  return result;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) { library.def("squared_norms(Tensor[] gradients) -> Tensor"); }

// One form for all devices: what is on another one goes through ATen.
TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("squared_norms", squaredNorms); }

}  // namespace hearth
