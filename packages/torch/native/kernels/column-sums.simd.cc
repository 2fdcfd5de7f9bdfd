// See column-sums.h. A few vectors of columns stay in registers while all rows pass by.
#include "kernels/column-sums.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

constexpr int kVectors = 4;

template <typename T>
void add(const T* rows, int64_t stride, int64_t rowCount, int64_t columns, float* sums) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= columns; c += kVectors * kLanes) {
    Vector sum[kVectors];
    for (int k = 0; k < kVectors; ++k) sum[k] = load(sums + c + k * kLanes);
    for (int64_t r = 0; r < rowCount; ++r)
      for (int k = 0; k < kVectors; ++k) sum[k] += load(rows + r * stride + c + k * kLanes);
    for (int k = 0; k < kVectors; ++k) store(sums + c + k * kLanes, sum[k]);
  }
  eachVector(columns - c, [=](int64_t i, auto part) {
    Vector sum = part.load(sums + c + i);
    for (int64_t r = 0; r < rowCount; ++r) sum += part.load(rows + r * stride + c + i);
    part.store(sums + c + i, sum);
  });
}

}  // namespace

extern const ColumnSumsTable HEARTH_TABLE(columnSumsTable) = {add<float>, add<BFloat16>};

}  // namespace hearth
