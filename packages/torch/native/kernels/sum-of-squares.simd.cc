// See sum-of-squares.h.
#include "kernels/sum-of-squares.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

template <typename T>
float sumOfSquares(const T* x, int64_t count) {
  // Four, because each addition would wait for the one before.
  constexpr int kVectors = 4;
  Vector sums[kVectors] = {};
  int64_t i = 0;
  for (; i + kVectors * kLanes <= count; i += kVectors * kLanes)
    for (int k = 0; k < kVectors; ++k) {
      const Vector part = load(x + i + k * kLanes);
      sums[k] = multiplyAdd(part, part, sums[k]);
    }
  eachVector(count - i, [&](int64_t rest, auto part) {
    const Vector last = part.load(x + i + rest);
    sums[0] = multiplyAdd(last, last, sums[0]);
  });
  return sumLanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

}  // namespace

extern const SumOfSquaresTable HEARTH_TABLE(sumOfSquaresTable) = {sumOfSquares<float>, sumOfSquares<BFloat16>};

}  // namespace hearth
