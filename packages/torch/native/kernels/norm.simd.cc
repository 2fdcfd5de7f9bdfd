// The loops of the norms over one row, which stays in the first cache however often it is read.
#include "kernels/norm.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

HEARTH_INLINE Vector there(Whole, Vector x) { return x; }

/** Zero in the lanes behind the end of the row. */
HEARTH_INLINE Vector there(Tail part, Vector x) {
  float lanes[kLanes] = {};
  part.store(lanes, x);
  return load(lanes);
}

/** The sum as it is stored, so that the backward pass sees the same numbers. */
template <typename T>
HEARTH_INLINE void addInto(T* sum, const T* x, const T* residual, int64_t width) {
  eachVector(width, [=](int64_t i, auto part) { part.store(sum + i, part.load(x + i) + part.load(residual + i)); });
}

template <typename T, bool centred>
HEARTH_INLINE RowStatistics statisticsOf(const T* x, int64_t width, float eps) {
  float mean = 0;
  if (centred) {
    Vector sum = {};
    eachVector(width, [&](int64_t i, auto part) { sum += part.load(x + i); });
    mean = sumLanes(sum) / width;
  }
  Vector squares = {};
  eachVector(width, [&](int64_t i, auto part) {
    const Vector distance = there(part, part.load(x + i) - mean);
    squares = multiplyAdd(distance, distance, squares);
  });
  return {mean, 1.0f / __builtin_sqrtf(sumLanes(squares) / width + eps)};
}

template <typename T, bool centred>
RowStatistics forward(const T* x, const T* residual, const float* weight, const float* bias, T* sum, T* normed, int64_t width, float eps) {
  if (residual != nullptr) {
    addInto(sum, x, residual, width);
    x = sum;
  }
  const RowStatistics row = statisticsOf<T, centred>(x, width, eps);
  eachVector(width, [=](int64_t i, auto part) {
    const Vector y = (part.load(x + i) - row.mean) * row.scale * part.load(weight + i);
    part.store(normed + i, bias == nullptr ? y : y + part.load(bias + i));
  });
  return row;
}

/** With n the normalised row and g = upstream * weight: scale * (g - mean(g n) n - mean(g)), the last where centred. */
template <typename T, bool centred>
void backward(const T* upstream, const T* sumUpstream, const T* x, const float* weight, RowStatistics row, T* gradient, float* weightGradient,
              float* biasGradient, int64_t width) {
  Vector alongRow = {}, alongOnes = {};
  eachVector(width, [&](int64_t i, auto part) {
    const Vector dy = part.load(upstream + i), g = dy * part.load(weight + i);
    const Vector change = dy * (part.load(x + i) - row.mean) * row.scale;
    alongRow += change * part.load(weight + i);
    if (centred) alongOnes += g;
    part.store(weightGradient + i, part.load(weightGradient + i) + change);
    if (biasGradient != nullptr) part.store(biasGradient + i, part.load(biasGradient + i) + dy);
  });
  const float ofRow = sumLanes(alongRow) / width, ofOnes = centred ? sumLanes(alongOnes) / width : 0.0f;
  eachVector(width, [=](int64_t i, auto part) {
    const Vector n = (part.load(x + i) - row.mean) * row.scale;
    const Vector d = row.scale * (part.load(upstream + i) * part.load(weight + i) - n * ofRow - ofOnes);
    part.store(gradient + i, sumUpstream == nullptr ? d : d + part.load(sumUpstream + i));
  });
}

}  // namespace

extern const NormTable HEARTH_TABLE(normTable) = {
    {forward<float, false>, backward<float, false>},
    {forward<BFloat16, false>, backward<BFloat16, false>},
    {forward<float, true>, backward<float, true>},
    {forward<BFloat16, true>, backward<BFloat16, true>},
};

}  // namespace hearth
