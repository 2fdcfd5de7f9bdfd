// Vectors of float as wide as the form this file is compiled for, in GCC's and clang's own vector types: arithmetic is
// written with operators and each processor gets its instructions. For `*.simd.cc` files alone. Everything is static,
// so that no form's copy is linked into another.
#pragma once
#include <stdint.h>
#include <string.h>

#include "kernels/simd/forms.h"

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

#define HEARTH_INLINE static inline __attribute__((always_inline))
#define HEARTH_MEMBER inline __attribute__((always_inline))

namespace hearth {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVector __attribute__((vector_size(kLanes * 4)));
typedef uint32_t BitVector __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfVector __attribute__((vector_size(kLanes * 2)));

HEARTH_INLINE Vector broadcast(float x) { return x - Vector{}; }

HEARTH_INLINE Vector load(const float* from) {
  Vector x;
  memcpy(&x, from, sizeof(x));
  return x;
}

HEARTH_INLINE void store(float* to, Vector x) { memcpy(to, &x, sizeof(x)); }

/** Past the caches, to where a whole vector is aligned: for what is not read again soon. A cache would first read what it overwrites. */
HEARTH_INLINE void storePast(float* to, Vector x) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, x);
#elif defined(__AVX2__)
  _mm256_stream_ps(to, x);
#elif defined(__SSE2__)
  _mm_stream_ps(to, x);
#else
  store(to, x);
#endif
}

/** Ends a stretch of storePast, before other threads are told of it. */
HEARTH_INLINE void endStoresPast() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

HEARTH_INLINE Vector load(const BFloat16* from) {
  HalfVector halves;
  memcpy(&halves, from, sizeof(halves));
  return (Vector)(__builtin_convertvector(halves, BitVector) << 16);
}

/** Rounds to the nearest, ties to even; a NaN stays one. */
HEARTH_INLINE void store(BFloat16* to, Vector x) {
  const BitVector bits = (BitVector)x;
  const BitVector rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const BitVector nan = (bits >> 16) | 0x40u;
  const BitVector isNan = (BitVector)(x != x);
  const HalfVector halves = __builtin_convertvector((rounded & ~isNan) | (nan & isNan), HalfVector);
  memcpy(to, &halves, sizeof(halves));
}

/** The first `count` elements, zeros behind them. */
template <typename T>
HEARTH_INLINE Vector loadPart(const T* from, int64_t count) {
  T lanes[kLanes] = {};
  memcpy(lanes, from, count * sizeof(T));
  return load(lanes);
}

template <typename T>
HEARTH_INLINE void storePart(T* to, Vector x, int64_t count) {
  T lanes[kLanes];
  store(lanes, x);
  memcpy(to, lanes, count * sizeof(T));
}

HEARTH_INLINE Vector multiplyAdd(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

HEARTH_INLINE Vector select(IntVector condition, Vector yes, Vector no) {
  return (Vector)(((IntVector)yes & condition) | ((IntVector)no & ~condition));
}

HEARTH_INLINE Vector squareRoot(Vector x) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

/** a where it is larger, else b, also where one of them is no number: what the instruction does, but GCC 12 does not see it. */
HEARTH_INLINE Vector maximum(Vector a, Vector b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
  return _mm_max_ps(a, b);
#else
  return select(a > b, a, b);
#endif
}

HEARTH_INLINE Vector minimum(Vector a, Vector b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
  return _mm_min_ps(a, b);
#else
  return select(a < b, a, b);
#endif
}

/** Adds the lanes as a binary tree: one order, whatever the data. */
HEARTH_INLINE float sumLanes(Vector x) {
  float lanes[kLanes];
  store(lanes, x);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

HEARTH_INLINE float maximumOfLanes(Vector x) {
  float lanes[kLanes];
  store(lanes, x);
  float most = lanes[0];
  for (int i = 1; i < kLanes; ++i) most = lanes[i] > most ? lanes[i] : most;
  return most;
}

/**
 * e^x within 2 units in the last place; 0 below -87.3, infinity above 88.7, NaN of NaN. x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of
 * degree 6 for e^r (coefficients: Cephes, expf), and n written into the exponent.
 */
HEARTH_INLINE Vector exponential(Vector x) {
  const Vector clamped = minimum(maximum(x, broadcast(-87.33654f)), broadcast(88.72283f));
  const Vector shift = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vector n = multiplyAdd(clamped, broadcast(1.44269504088896341f), shift) - shift;
  Vector r = multiplyAdd(n, broadcast(-0.693359375f), clamped);
  r = multiplyAdd(n, broadcast(2.12194440e-4f), r);
  Vector p = broadcast(1.9875691500e-4f);
  p = multiplyAdd(p, r, broadcast(1.3981999507e-3f));
  p = multiplyAdd(p, r, broadcast(8.3334519073e-3f));
  p = multiplyAdd(p, r, broadcast(4.1665795894e-2f));
  p = multiplyAdd(p, r, broadcast(1.6666665459e-1f));
  p = multiplyAdd(p, r, broadcast(5.0000001201e-1f));
  p = multiplyAdd(p, r * r, r + 1.0f);
  // 2^n in two factors: n = 128 has no float of its own.
  const IntVector whole = __builtin_convertvector(n, IntVector);
  const IntVector half = whole >> 1;
  const Vector scaled = p * (Vector)((half + 127) << 23) * (Vector)((whole - half + 127) << 23);
  const Vector low = select(x < -87.33654f, broadcast(0.0f), scaled);
  const Vector high = select(x > 88.72283f, broadcast(__builtin_inff()), low);
  return select(x != x, x, high);
}

/** How to touch a whole vector of memory. */
struct Whole {
  template <typename T>
  HEARTH_MEMBER Vector load(const T* from) const {
    return hearth::load(from);
  }
  template <typename T>
  HEARTH_MEMBER void store(T* to, Vector x) const {
    hearth::store(to, x);
  }
};

/** How to touch the last few elements, where no whole vector is left. */
struct Tail {
  int64_t count;
  template <typename T>
  HEARTH_MEMBER Vector load(const T* from) const {
    return loadPart(from, count);
  }
  template <typename T>
  HEARTH_MEMBER void store(T* to, Vector x) const {
    storePart(to, x, count);
  }
};

/** body(i, part) for every vector of `count` elements; `part` loads and stores what is there from element i on. */
template <typename Body>
HEARTH_INLINE void eachVector(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, Whole{});
  if (i < count) body(i, Tail{count - i});
}

}  // namespace
}  // namespace hearth
