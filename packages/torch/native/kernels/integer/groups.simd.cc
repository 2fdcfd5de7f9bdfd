// Choosing the unit of a group of weights. With 8 bits the largest weight becomes 127. With 4 bits a few units are tried and
// the one of the least squared error is taken: one large weight must not cost the other 63 their places.
#include "kernels/integer/groups.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

HEARTH_INLINE float floatOf(BFloat16 x) {
  const uint32_t bits = (uint32_t)x.bits << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

/** The next bfloat16 away from zero: the largest weight then stays within the largest integer. */
HEARTH_INLINE BFloat16 awayFromZero(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return {(uint16_t)((bits + 0xffffu) >> 16)};
}

HEARTH_INLINE Vector rounded(Vector x) {
  const Vector shift = broadcast(12582912.0f);
  return (x + shift) - shift;
}

/** Whole numbers from `least` to `most`. */
HEARTH_INLINE Vector integers(Vector weights, float inverse, float least, float most) {
  return minimum(maximum(rounded(weights * inverse), broadcast(least)), broadcast(most));
}

HEARTH_INLINE void write(const float* weights, float unit, float least, float most, uint8_t* bytes) {
  const float inverse = unit != 0 ? 1.0f / unit : 0.0f;
  for (int64_t i = 0; i < kGroup; i += kLanes) {
    int32_t whole[kLanes];
    const IntVector q = __builtin_convertvector(integers(load(weights + i), inverse, least, most), IntVector);
    memcpy(whole, &q, sizeof(q));
    for (int lane = 0; lane < kLanes; ++lane) bytes[i + lane] = (uint8_t)(whole[lane] - (int32_t)least);
  }
}

/** The weight of the largest magnitude, with its sign. */
HEARTH_INLINE float largest(const float* weights) {
  float most = 0;
  for (int64_t i = 0; i < kGroup; ++i)
    if (__builtin_fabsf(weights[i]) > __builtin_fabsf(most)) most = weights[i];
  return most;
}

BFloat16 quantise8(const float* weights, uint8_t* bytes) {
  const BFloat16 unit = awayFromZero(__builtin_fabsf(largest(weights)) / 127.0f);
  // 128 stands for 0: `least` is one below what occurs.
  write(weights, floatOf(unit), -128, 127, bytes);
  return unit;
}

HEARTH_INLINE float squaredError(const float* weights, float unit) {
  const float inverse = 1.0f / unit;
  Vector sum = broadcast(0.0f);
  for (int64_t i = 0; i < kGroup; i += kLanes) {
    const Vector w = load(weights + i), error = w - integers(w, inverse, -8, 7) * unit;
    sum = multiplyAdd(error, error, sum);
  }
  return sumLanes(sum);
}

BFloat16 quantise4(const float* weights, uint8_t* bytes) {
  const float most = largest(weights);
  BFloat16 best = awayFromZero(0.0f);
  float least = __builtin_inff();
  // The largest weight becomes -8, or lies up to three units beyond it and is cut off.
  for (float places = 8; most != 0 && places <= 11; places += 0.25f) {
    const BFloat16 unit = awayFromZero(-most / places);
    const float error = squaredError(weights, floatOf(unit));
    if (error < least) {
      least = error;
      best = unit;
    }
  }
  write(weights, floatOf(best), -8, 7, bytes);
  return best;
}

}  // namespace

extern const GroupTable HEARTH_TABLE(groupTable) = {quantise8, quantise4};

}  // namespace hearth
