// The loops of integer products: a row of x to integers, and its products with 16 outputs. Sums of a group are exact, so
// every form adds the same numbers, group after group in float32. For the operator see linear-integer.cc.
#include "kernels/integer/integer.h"

#include "kernels/simd/vector.h"

namespace hearth {

namespace {

constexpr int64_t kQuads = kGroup / kQuad;
constexpr int kTile = 4;

/** To the nearest, ties to even, for magnitudes far below 2^22. */
HEARTH_INLINE Vector rounded(Vector x) {
  const Vector shift = broadcast(12582912.0f);
  return (x + shift) - shift;
}

HEARTH_INLINE Vector magnitude(Vector x) { return (Vector)((BitVector)x & 0x7fffffffu); }

template <typename T>
void quantise(const T* x, int64_t count, int8_t* values, float* scales, int32_t* sums) {
  for (int64_t group = 0; group * kGroup < count; ++group) {
    const int64_t from = group * kGroup, here = count - from < kGroup ? count - from : kGroup;
    float floats[kGroup] = {};
    Vector most = broadcast(0.0f);
    eachVector(here, [&](int64_t i, auto part) {
      const Vector v = part.load(x + from + i);
      most = maximum(most, magnitude(v));
      part.store(floats + i, v);
    });
    const float scale = maximumOfLanes(most) / 127.0f, inverse = scale > 0 ? 1.0f / scale : 0.0f;
    int32_t sum = 0;
    for (int64_t i = 0; i < kGroup; i += kLanes) {
      int32_t whole[kLanes];
      const IntVector q = __builtin_convertvector(rounded(load(floats + i) * inverse), IntVector);
      memcpy(whole, &q, sizeof(q));
      for (int lane = 0; lane < kLanes; ++lane) {
        values[from + i + lane] = (int8_t)whole[lane];
        sum += whole[lane];
      }
    }
    scales[group] = scale;
    sums[group] = sum;
  }
}

#if defined(__AVX2__)

HEARTH_INLINE __m256i bytes(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

HEARTH_INLINE __m256i quadOf(const int8_t* x) {
  int32_t four;
  memcpy(&four, x, sizeof(four));
  return _mm256_set1_epi32(four);
}

/** totals[row][half] += of one group: 8 outputs a half. */
template <int rows>
struct Group8 {
  HEARTH_MEMBER void operator()(const int8_t* const* x, const int32_t*, const uint8_t* weights, __m256i (*totals)[2]) const {
    const __m256i ones = _mm256_set1_epi16(1), sign = _mm256_set1_epi8(-128);
    for (int64_t quad = 0; quad < kQuads; ++quad) {
      const uint8_t* const at = weights + quad * kOutputs * kQuad;
      const __m256i low = _mm256_xor_si256(bytes(at), sign), high = _mm256_xor_si256(bytes(at + 32), sign);
      for (int row = 0; row < rows; ++row) {
        // One factor must be unsigned, so x gives its sign to the weight; 2 * 127 * 128 fits 16 bits.
        const __m256i factor = quadOf(x[row] + quad * kQuad), size = _mm256_abs_epi8(factor);
        const __m256i a = _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(low, factor)), ones);
        const __m256i b = _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(high, factor)), ones);
        totals[row][0] = _mm256_add_epi32(totals[row][0], a);
        totals[row][1] = _mm256_add_epi32(totals[row][1], b);
      }
    }
  }
};

template <int rows>
struct Group4 {
  /** Eight quads, 32 inputs: 16 bits hold 8 * 2 * 15 * 127. */
  template <int shift>
  HEARTH_MEMBER void half(const int8_t* const* x, const uint8_t* weights, __m256i (*totals)[2]) const {
    const __m256i ones = _mm256_set1_epi16(1), mask = _mm256_set1_epi8(15);
    __m256i sums[rows][2];
    for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = _mm256_setzero_si256();
    for (int64_t quad = 0; quad < kQuads / 2; ++quad) {
      const uint8_t* const at = weights + quad * kOutputs * kQuad;
      const __m256i low = _mm256_and_si256(_mm256_srli_epi16(bytes(at), shift), mask);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes(at + 32), shift), mask);
      for (int row = 0; row < rows; ++row) {
        const __m256i factor = quadOf(x[row] + quad * kQuad);
        sums[row][0] = _mm256_add_epi16(sums[row][0], _mm256_maddubs_epi16(low, factor));
        sums[row][1] = _mm256_add_epi16(sums[row][1], _mm256_maddubs_epi16(high, factor));
      }
    }
    for (int row = 0; row < rows; ++row)
      for (int side = 0; side < 2; ++side)
        totals[row][side] = _mm256_add_epi32(totals[row][side], _mm256_madd_epi16(sums[row][side], ones));
  }

  HEARTH_MEMBER void operator()(const int8_t* const* x, const int32_t* sums, const uint8_t* weights, __m256i (*totals)[2]) const {
    const int8_t* later[rows];
    for (int row = 0; row < rows; ++row) {
      later[row] = x[row] + kGroup / 2;
      // Of q + 8 with x the product is by 8 times the sum of x too large.
      totals[row][0] = totals[row][1] = _mm256_set1_epi32(-8 * sums[row]);
    }
    half<0>(x, weights, totals);
    half<4>(later, weights, totals);
  }
};

template <template <int> typename Group, int64_t bits, int rows>
HEARTH_INLINE void tile(const IntegerRows& x, int64_t first, const uint8_t* weights, const BFloat16* scales, float* sums) {
  __m256 floats[rows][2];
  for (int row = 0; row < rows; ++row) floats[row][0] = floats[row][1] = _mm256_setzero_ps();
  for (int64_t group = 0; group < x.groups; ++group) {
    const int8_t* values[rows];
    int32_t sumsOfX[rows];
    __m256i totals[rows][2];
    for (int row = 0; row < rows; ++row) {
      const int64_t at = (first + row) * x.groups + group;
      values[row] = x.values + at * kGroup;
      sumsOfX[row] = x.sums[at];
      totals[row][0] = totals[row][1] = _mm256_setzero_si256();
    }
    Group<rows>{}(values, sumsOfX, weights + group * bytesOfGroup(bits), totals);
    float units[kOutputs];
    for (int64_t i = 0; i < kOutputs; i += kLanes) store(units + i, load(scales + group * kOutputs + i));
    for (int row = 0; row < rows; ++row) {
      const __m256 unit = _mm256_set1_ps(x.scales[(first + row) * x.groups + group]);
      for (int side = 0; side < 2; ++side)
        floats[row][side] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(totals[row][side]), _mm256_mul_ps(unit, _mm256_loadu_ps(units + 8 * side)),
                                            floats[row][side]);
    }
  }
  for (int row = 0; row < rows; ++row)
    for (int side = 0; side < 2; ++side) _mm256_storeu_ps(sums + (first + row) * kOutputs + 8 * side, floats[row][side]);
}

template <template <int> typename Group, int64_t bits>
void products(const IntegerRows& x, int64_t rows, const uint8_t* weights, const BFloat16* scales, float* sums) {
  int64_t first = 0;
  for (; first + kTile <= rows; first += kTile) tile<Group, bits, kTile>(x, first, weights, scales, sums);
  for (; first + 2 <= rows; first += 2) tile<Group, bits, 2>(x, first, weights, scales, sums);
  if (first < rows) tile<Group, bits, 1>(x, first, weights, scales, sums);
}

constexpr auto products8 = products<Group8, 8>;
constexpr auto products4 = products<Group4, 4>;

#else

/** Without instructions for bytes: plain loops, which the compiler makes of what there is. */
template <int64_t bits>
void products(const IntegerRows& x, int64_t rows, const uint8_t* weights, const BFloat16* scales, float* sums) {
  for (int64_t row = 0; row < rows; ++row) {
    float floats[kOutputs] = {};
    for (int64_t group = 0; group < x.groups; ++group) {
      const int64_t at = row * x.groups + group;
      const int8_t* const values = x.values + at * kGroup;
      const uint8_t* const from = weights + group * bytesOfGroup(bits);
      int32_t totals[kOutputs] = {};
      for (int64_t k = 0; k < kGroup; ++k) {
        const int64_t byte = bits == 8 ? k : k % (kGroup / 2), shift = bits == 8 ? 0 : 4 * (k / (kGroup / 2));
        const uint8_t* const quad = from + byte / kQuad * kOutputs * kQuad + byte % kQuad;
        for (int64_t output = 0; output < kOutputs; ++output)
          totals[output] += values[k] * (bits == 8 ? quad[output * kQuad] - 128 : ((quad[output * kQuad] >> shift) & 15) - 8);
      }
      for (int64_t output = 0; output < kOutputs; ++output) {
        const uint32_t scale = (uint32_t)scales[group * kOutputs + output].bits << 16;
        float unit;
        memcpy(&unit, &scale, sizeof(unit));
        floats[output] += (float)totals[output] * (x.scales[at] * unit);
      }
    }
    memcpy(sums + row * kOutputs, floats, sizeof(floats));
  }
}

constexpr auto products8 = products<8>;
constexpr auto products4 = products<4>;

#endif

}  // namespace

extern const IntegerTable HEARTH_TABLE(integerTable) = {quantise<float>, quantise<BFloat16>, products8, products4};

}  // namespace hearth
