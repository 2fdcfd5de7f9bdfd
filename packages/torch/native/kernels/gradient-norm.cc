// hearth::gradient_norm: the Euclidean norm of all gradients together, in one call and one pass. Squares are summed in
// float32 over chunks of a fixed size, and the chunks in double in their order: neither threads nor a sharding at multiples
// of a chunk show in the bits.
#include <torch/library.h>

#include <cmath>
#include <vector>

#include "kernels/operands.h"
#include "kernels/sum-of-squares.h"

namespace hearth {

namespace {

using at::Tensor;

/** Elements; 2^14 floats stay near the processor. Also NORM_CHUNK in packages/hearth/src/optim/clipping.ts. */
constexpr int64_t kChunk = 1 << 14;

struct Chunk {
  const void* data;
  int64_t count;
  bool isFloat;
};

void addChunks(std::vector<Chunk>& chunks, const Tensor& tensor) {
  const auto* const data = static_cast<const char*>(tensor.data_ptr());
  for (int64_t i = 0; i < tensor.numel(); i += kChunk)
    chunks.push_back({data + i * tensor.element_size(), std::min(kChunk, tensor.numel() - i), tensor.scalar_type() == at::kFloat});
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

double gradientNormReference(at::TensorList gradients) {
  std::vector<Tensor> norms;
  for (const Tensor& gradient : gradients) addChunkNorms(norms, gradient);
  if (norms.empty()) return 0;
  // Gathered first: one wait for the device, not one a tensor.
  const Tensor all = at::cat(norms).to(at::kCPU).to(at::kDouble).contiguous();
  double sum = 0;
  for (int64_t i = 0; i < all.numel(); ++i) sum += all.data_ptr<double>()[i] * all.data_ptr<double>()[i];
  return std::sqrt(sum);
}

double gradientNorm(at::TensorList gradients) {
  const at::NoGradGuard noGrad;
  for (const Tensor& gradient : gradients) TORCH_CHECK(gradient.defined() && at::isFloatingType(gradient.scalar_type()), "hearth::gradient_norm: gradients must be floats");
  for (const Tensor& gradient : gradients)
    if (!isOurs(gradient)) return gradientNormReference(gradients);
  std::vector<Tensor> plain;
  std::vector<Chunk> chunks;
  for (const Tensor& gradient : gradients) addChunks(chunks, plain.emplace_back(gradient.contiguous()));
  std::vector<double> sums(chunks.size());
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& [data, count, isFloat] = chunks[i];
      sums[i] = isFloat ? sumOfSquaresTable().float32(static_cast<const float*>(data), count)
                        : sumOfSquaresTable().bfloat16(static_cast<const BFloat16*>(data), count);
    }
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) { library.def("gradient_norm(Tensor[] gradients) -> float"); }

// One form for all devices: what is on another one goes through ATen.
TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("gradient_norm", gradientNorm); }

}  // namespace hearth
