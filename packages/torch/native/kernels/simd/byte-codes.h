// Numbers from 0 to 1, or from -1 to 1, in bytes of dynamic precision: the largest have the finest steps, and the range
// reaches over seven or eight decimal places. For `*.simd.cc` files alone; reference and table are in adamw-8bit.cc.
// Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022 (arXiv:2110.02861), section 1.3: after
// the sign, the zeros before the first 1 are a decimal exponent, and what follows it is linear between 0.1 and 1.
//
// Read as a whole number, a code k with D = 7 or 8 digits is 2^i (1 + f): as a float its exponent i is the decade and its mantissa
// f the place in it. Its value is 10^(i+1-D) (0.1 + 0.9 (f + 2^-(i+1))), over that of the largest code; k = 0 is 0.
#pragma once
#include "kernels/simd/vector.h"

namespace hearth {
namespace {

// By name, because GCC 12 takes the conversion of vectors of bytes apart, lane by lane.
HEARTH_INLINE IntVector loadBytes(const uint8_t* from) {
#if defined(__AVX512F__)
  return (IntVector)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from));
#elif defined(__AVX2__)
  return (IntVector)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from));
#else
  IntVector x;
  for (int i = 0; i < kLanes; ++i) x[i] = from[i];
  return x;
#endif
}

/** Numbers from 0 to 255. */
HEARTH_INLINE void storeBytes(uint8_t* to, IntVector x) {
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)x));
#elif defined(__AVX2__)
  const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
  _mm_storel_epi64((__m128i*)to, _mm_packus_epi16(halves, halves));
#else
  for (int i = 0; i < kLanes; ++i) to[i] = (uint8_t)x[i];
#endif
}

/** Eight numbers, of which each lane picks one by the low three bits of its index. */
class Eight {
 public:
  HEARTH_MEMBER explicit Eight(const float (&values)[8]) {
#if defined(__AVX512F__)
    float twice[16];
    for (int i = 0; i < 16; ++i) twice[i] = values[i % 8];
    values_ = load(twice);
#elif defined(__AVX2__)
    values_ = load(values);
#else
    memcpy(values_, values, sizeof(values_));
#endif
  }

  HEARTH_MEMBER Vector operator[](IntVector index) const {
#if defined(__AVX512F__)
    return _mm512_permutexvar_ps((__m512i)index, values_);
#elif defined(__AVX2__)
    return _mm256_permutevar8x32_ps(values_, (__m256i)index);
#else
    Vector picked;
    for (int i = 0; i < kLanes; ++i) picked[i] = values_[index[i] & 7];
    return picked;
#endif
  }

 private:
#if defined(__AVX2__)
  Vector values_;
#else
  float values_[8];
#endif
};

/** By decade, of codes of D digits. */
template <int D>
struct DecadeTables {
  /** value = at + (1 + f) slope. */
  float at[8] = {}, slope[8] = {};
  /** How fast codes rise with their values. */
  float codeSlope[8] = {};

  constexpr DecadeTables() {
    double unit = 1 / (0.1 + 0.9 * (1 - 1.0 / (1 << D)));
    for (int i = 1; i < D; ++i) unit /= 10;
    for (int i = 0; i < 8; ++i, unit *= 10) {
      at[i] = (float)(unit * (0.45 / (1 << i) - 0.8));
      slope[i] = (float)(unit * 0.9);
      codeSlope[i] = (float)((1 << i) / (0.9 * unit));
    }
  }
};

/** Codes of D digits without a sign. */
template <int D>
class Codes {
 public:
  HEARTH_MEMBER Codes() : at_(kTables.at), slope_(kTables.slope), codeSlope_(kTables.codeSlope) {}

  HEARTH_MEMBER Vector decode(IntVector code) const {
    const IntVector bits = (IntVector)__builtin_convertvector(code, Vector);
    const IntVector decade = (bits >> 23) - 127;
    const Vector place = (Vector)((bits & 0x7fffff) | 0x3f800000);
    return (Vector)((IntVector)multiplyAdd(slope_[decade], place, at_[decade]) & (code != 0));
  }

  /** The nearest code of x from 0 to 1, except that what is above `zero` does not become 0. */
  HEARTH_MEMBER IntVector encode(Vector x, float zero) const {
    // The bits of a float are its logarithm, 0.026 decades too low at most, and a decade's codes are nearest up to 0.28 above its
    // end: with that taken off, the guess is right or one too low.
    const Vector bits = __builtin_convertvector((IntVector)x, Vector);
    const Vector logarithm = multiplyAdd(bits, broadcast(kDecadesOfBit), broadcast(D - 127 * kDecadesOfTwo - 0.283f));
    const IntVector decade = __builtin_convertvector(maximum(logarithm, Vector{}), IntVector);
    // Bins of one width in this decade, and those of the next in terms of these: what follows from the value of a code.
    const IntVector powerBits = (decade + 127) << 23;
    const Vector power = (Vector)powerBits;
    const Vector here = multiplyAdd(x, codeSlope_[decade], power * (8.0f / 9.0f));
    const Vector next = multiplyAdd(here, broadcast(0.2f), power * 1.6f);
    const Vector last = (Vector)(powerBits + 0x7fffff);
    const Vector code = select(here >= power * 2.0f + 1.0f, next, minimum(here, last));
    return __builtin_convertvector(maximum(code, broadcast(1.0f)), IntVector) & (x > zero);
  }

 private:
  static constexpr float kDecadesOfTwo = 0.30103f, kDecadesOfBit = kDecadesOfTwo / (1 << 23);
  static constexpr DecadeTables<D> kTables{};

  const Eight at_, slope_, codeSlope_;
};

/** From 0 to 1. What is above 0 stays so: a second moment of 0 would let its first one leap. */
struct UnsignedCodes {
  Codes<8> codes;

  HEARTH_MEMBER Vector decode(const uint8_t* from) const {
    return codes.decode(loadBytes(from));
  }

  HEARTH_MEMBER void encode(Vector x, uint8_t* to) const {
    storeBytes(to, codes.encode(x, 0.0f));
  }
};

/** From -1 to 1: the highest bit is the sign, of 0 too. */
struct SignedCodes {
  Codes<7> codes;

  HEARTH_MEMBER Vector decode(const uint8_t* from) const {
    const IntVector code = loadBytes(from);
    return (Vector)((IntVector)codes.decode(code & 127) | (code >> 7) << 31);
  }

  HEARTH_MEMBER void encode(Vector x, uint8_t* to) const {
    constexpr DecadeTables<7> kTables;
    constexpr float kHalfOfLeast = (kTables.at[0] + kTables.slope[0]) / 2;
    const IntVector sign = (IntVector)((BitVector)x >> 31), magnitude = (IntVector)x & 0x7fffffff;
    storeBytes(to, codes.encode((Vector)magnitude, kHalfOfLeast) | sign << 7);
  }
};

}  // namespace
}  // namespace hearth
