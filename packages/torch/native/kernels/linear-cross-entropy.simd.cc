// The loops of the loss over one row of logits: largest, sum of exponentials, gradient. Three passes over a row that
// stays in the second cache; beside the three products that each logit costs they are little.
#include "kernels/linear-cross-entropy.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

HEARTH_INLINE Vector there(Whole, Vector x, float) { return x; }

/** `otherwise` in the lanes behind the end of the row. */
HEARTH_INLINE Vector there(Tail part, Vector x, float otherwise) {
  float lanes[kLanes];
  store(lanes, x);
  for (int64_t i = part.count; i < kLanes; ++i) lanes[i] = otherwise;
  return load(lanes);
}

struct Row {
  const float* logits;
  const float* bias;

  template <typename Part>
  HEARTH_MEMBER Vector at(int64_t i, Part part) const {
    const Vector x = part.load(logits + i);
    return bias == nullptr ? x : x + part.load(bias + i);
  }
};

HEARTH_INLINE float largest(Row row, int64_t count) {
  // Four, because each comparison would wait for the one before.
  constexpr int kVectors = 4;
  Vector most[kVectors];
  for (int k = 0; k < kVectors; ++k) most[k] = broadcast(-__builtin_inff());
  int64_t i = 0;
  for (; i + kVectors * kLanes <= count; i += kVectors * kLanes)
    for (int k = 0; k < kVectors; ++k) most[k] = maximum(row.at(i + k * kLanes, Whole{}), most[k]);
  for (int k = 1; k < kVectors; ++k) most[0] = maximum(most[k], most[0]);
  eachVector(count - i, [&](int64_t rest, auto part) {
    most[0] = maximum(there(part, row.at(i + rest, part), -__builtin_inff()), most[0]);
  });
  return maximumOfLanes(most[0]);
}

LogitSums sums(const float* logits, const float* bias, int64_t count, int64_t target) {
  const Row row{logits, bias};
  const float most = largest(row, count);
  Vector sum = broadcast(0.0f);
  eachVector(count, [&](int64_t i, auto part) { sum += there(part, exponential(row.at(i, part) - most), 0.0f); });
  return {most, sumLanes(sum), row.at(target, Tail{1})[0]};
}

template <typename T>
LogitSums gradient(float* logits, const float* bias, int64_t count, int64_t target, float scale) {
  const Row row{logits, bias};
  const LogitSums result = sums(logits, bias, count, target);
  // An element is read before anything as far as its own place is written: bfloat16 only lags behind.
  T* const out = (T*)logits;
  const float share = scale / result.sum;
  const float atTarget = exponential(broadcast(result.target - result.most))[0] * share - scale;
  eachVector(count, [=](int64_t i, auto part) { part.store(out + i, exponential(row.at(i, part) - result.most) * share); });
  storePart(out + target, broadcast(atTarget), 1);
  return result;
}

}  // namespace

extern const LogitTable HEARTH_TABLE(logitTable) = {
    sums,
    gradient<float>,
    gradient<BFloat16>,
};

}  // namespace hearth
