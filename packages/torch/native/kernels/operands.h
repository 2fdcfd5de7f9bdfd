// What the operators of hearth:: share: when a tensor is one that our loops can read, and how its memory is reached.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/simd/forms.h"

namespace hearth {

/** On the CPU, in a dtype that our loops read. */
inline bool isOurs(const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  return !referenceWanted() && tensor.device().is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16);
}

template <typename T>
T* dataOf(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

/** work(x) with x a `float*` or `BFloat16*`, nothing but a name for the type of `tensor`'s elements. */
template <typename Work>
auto withElementsOf(const at::Tensor& tensor, Work work) {
  if (tensor.scalar_type() == at::kFloat) return work(static_cast<float*>(nullptr));
  return work(static_cast<BFloat16*>(nullptr));
}

/** sums (C) float32 += the rows of a matrix (R, C) of ours, in their order; see column-sums.h. */
void addRowsTo(const at::Tensor& sums, const at::Tensor& rows);

/**
 * The same in ATen's operators, (R, C) -> (C), for reference forms. On a CPU its sum over the first dimension takes some
 * columns in another order when threads share them otherwise; its sum over the last one does not.
 */
inline at::Tensor sumOfRows(const at::Tensor& rows) { return rows.device().is_cpu() ? rows.t().contiguous().sum(1) : rows.sum(0); }

/** Elements of an elementwise loop that are worth waking another thread for. */
constexpr int64_t kElementwiseGrain = 1 << 14;

}  // namespace hearth
