// How the finished sums of a product are written to a tensor: the epilogue of hearth::linear and hearth::conv2d, row by row.
#pragma once
#include <type_traits>

#include "kernels/gemm/epilogue.h"

namespace hearth {

template <typename T>
const EpilogueLoops<T>& epilogueOf(const T*) {
  if constexpr (std::is_same_v<T, float>) return epilogueTable().float32;
  else return epilogueTable().bfloat16;
}

/** The whole epilogue of one product; the operands, null where there are none, are matrices with rows `stride` apart. */
template <typename T>
struct Epilogue {
  const T* bias;
  const T* residual;
  T* before;
  T* out;
  int64_t stride;
  LinearActivation activation;

  void operator()(int64_t row, int64_t column, int64_t count, const float* sums) const {
    const int64_t at = row * stride + column;
    const T* const r = residual ? residual + at : nullptr;
    epilogueOf(out).finish({sums, bias ? bias + column : nullptr, r, before ? before + at : nullptr, out + at, count, activation});
  }
};

}  // namespace hearth
