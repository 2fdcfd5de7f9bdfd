// The product of at most seven rows: bound by reading the weight, which is therefore read once, where it lies, with nothing
// packed. Each element of it meets all rows of x while it is in a register. Sums run over depth in the lanes of a vector, which
// are added at the end: an order that follows from the depth alone.
#include "kernels/gemm/few-rows.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

/** Sums of `Rows` rows of x with C rows of the weight. */
template <int Rows, int C, typename T>
HEARTH_INLINE void sumsOf(const FewRowsTask<T>& task, int64_t column) {
  Vector sums[Rows][C] = {};
  const T* const weight = task.weight + column * task.weightStride;
  const auto add = [&](int64_t i, auto part) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      // Rows end too soon for the processor to see where the reading goes on: the next ones are fetched by name.
      __builtin_prefetch(weight + (c + C) * task.weightStride + i);
      const Vector w = part.load(weight + c * task.weightStride + i);
#pragma GCC unroll 7
      for (int r = 0; r < Rows; ++r) sums[r][c] = multiplyAdd(w, part.load(task.x + r * task.depth + i), sums[r][c]);
    }
  };
  eachVector(task.depth, add);
  for (int r = 0; r < Rows; ++r)
    for (int c = 0; c < C; ++c) task.sums[r * task.sumsStride + column + c] = sumLanes(sums[r][c]);
}

template <int Rows, typename T>
void productOfRows(const FewRowsTask<T>& task) {
  constexpr int C = Rows <= 3 ? 4 : Rows == 4 ? 3 : 2;  // at most 14 sums in 16 registers
  int64_t column = 0;
  for (; column + C <= task.columns; column += C) sumsOf<Rows, C>(task, column);
  for (; column < task.columns; ++column) sumsOf<Rows, 1>(task, column);
}

template <typename T>
void product(const FewRowsTask<T>& task) {
  switch (task.rows) {
    case 1: return productOfRows<1>(task);
    case 2: return productOfRows<2>(task);
    case 3: return productOfRows<3>(task);
    case 4: return productOfRows<4>(task);
    case 5: return productOfRows<5>(task);
    case 6: return productOfRows<6>(task);
    default: return productOfRows<7>(task);
  }
}

}  // namespace

extern const FewRowsTable HEARTH_TABLE(fewRowsTable) = {product<float>, product<BFloat16>};

}  // namespace hearth
