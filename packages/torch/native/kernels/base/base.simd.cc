// The loops over a quantised base (base.h): any stretch of it to floats, and a block to NF4. Decoding is a look-up in
// registers, so that it costs little beside a product with some rows. For the operators see quantise.cc, linear-base.cc.

// A scale is a product and a sum, each rounded, on every processor.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "kernels/base/base.h"

#include "kernels/simd/byte-codes.h"
#include "kernels/simd/vector.h"

namespace hearth {

namespace {

constexpr float kLower[8] = {kNormalFloats[0], kNormalFloats[1], kNormalFloats[2], kNormalFloats[3],
                             kNormalFloats[4], kNormalFloats[5], kNormalFloats[6], kNormalFloats[7]};
constexpr float kUpper[8] = {kNormalFloats[8],  kNormalFloats[9],  kNormalFloats[10], kNormalFloats[11],
                             kNormalFloats[12], kNormalFloats[13], kNormalFloats[14], kNormalFloats[15]};

/** Where lane i's code lies in a word of eight: the first of a byte's two is the upper half. */
struct Shifts {
  uint32_t of[kLanes];
  constexpr Shifts() : of() {
    for (int i = 0; i < kLanes; ++i) of[i] = (uint32_t)(i % 8 / 2 * 8 + (i % 2 == 0 ? 4 : 0));
  }
};

/** kLanes codes, from a whole byte on. */
HEARTH_INLINE IntVector codesAt(const uint8_t* from) {
  constexpr Shifts kShifts;
  uint32_t words[kLanes >= 8 ? kLanes / 8 : 1] = {};
  memcpy(words, from, kLanes / 2);
  BitVector all, shifts;
  memcpy(&shifts, kShifts.of, sizeof(shifts));
  for (int i = 0; i < kLanes; ++i) all[i] = words[i / 8];
  return (IntVector)((all >> shifts) & 15u);
}

struct NormalFloats {
  const BaseWeight& weight;
  const Eight lower{kLower}, upper{kUpper};

  HEARTH_MEMBER explicit NormalFloats(const BaseWeight& of) : weight(of) {}

  HEARTH_MEMBER float scale(int64_t block) const {
    const float own = weight.scaleValues[weight.scaleCodes[block]] * weight.nested[1 + block / kNestedBlock];
    return own + weight.nested[0];
  }

  /** Whether whole vectors may begin at this weight. */
  HEARTH_MEMBER static bool begins(int64_t at) { return at % 2 == 0; }

  HEARTH_MEMBER Vector vector(int64_t at) const {
    const IntVector codes = codesAt(weight.codes + at / 2);
    return select((codes & 8) != 0, upper[codes], lower[codes]);
  }

  HEARTH_MEMBER float one(int64_t at) const {
    const uint8_t pair = weight.codes[at / 2];
    return kNormalFloats[at % 2 == 0 ? pair >> 4 : pair & 15];
  }
};

struct Integers {
  const BaseWeight& weight;

  HEARTH_MEMBER explicit Integers(const BaseWeight& of) : weight(of) {}

  HEARTH_MEMBER float scale(int64_t block) const {
    const uint32_t bits = (uint32_t)weight.units[block].bits << 16;
    float unit;
    memcpy(&unit, &bits, sizeof(unit));
    return unit;
  }

  HEARTH_MEMBER static bool begins(int64_t) { return true; }
  HEARTH_MEMBER Vector vector(int64_t at) const { return __builtin_convertvector(loadBytes(weight.codes + at) - 128, Vector); }
  HEARTH_MEMBER float one(int64_t at) const { return (float)((int)weight.codes[at] - 128); }
};

template <typename Codes, typename T>
HEARTH_INLINE void decodeAll(const BaseWeight& weight, int64_t first, int64_t count, T* out) {
  const Codes codes(weight);
  for (int64_t done = 0; done < count;) {
    const int64_t at = first + done, left = kBaseBlock - at % kBaseBlock, here = left < count - done ? left : count - done;
    const float scale = codes.scale(at / kBaseBlock);
    int64_t i = 0;
    if (Codes::begins(at))
      for (; i + kLanes <= here; i += kLanes) store(out + done + i, codes.vector(at + i) * scale);
    for (; i < here; ++i) storePart(out + done + i, broadcast(codes.one(at + i) * scale), 1);
    done += here;
  }
}

template <typename T>
void decode(const BaseWeight& weight, int64_t first, int64_t count, T* out) {
  if (weight.scaleCodes != nullptr) decodeAll<NormalFloats>(weight, first, count, out);
  else decodeAll<Integers>(weight, first, count, out);
}

float encodeNormalFloats(const float* weights, uint8_t* bytes) {
  Vector most = broadcast(0.0f);
  for (int64_t i = 0; i < kBaseBlock; i += kLanes) most = maximum(most, (Vector)((BitVector)load(weights + i) & 0x7fffffffu));
  const float largest = maximumOfLanes(most), inverse = largest > 0 ? 1.0f / largest : 0.0f;
  int32_t codes[kBaseBlock];
  for (int64_t i = 0; i < kBaseBlock; i += kLanes) {
    // The nearest value is as many places up as there are middles between neighbours below it.
    const Vector x = load(weights + i) * inverse;
    IntVector code{};
    for (int k = 0; k < 15; ++k) code -= (IntVector)(x > (kNormalFloats[k] + kNormalFloats[k + 1]) / 2);
    memcpy(codes + i, &code, sizeof(code));
  }
  for (int64_t i = 0; i < kBaseBlock; i += 2) bytes[i / 2] = (uint8_t)(codes[i] << 4 | codes[i + 1]);
  return largest;
}

}  // namespace

extern const BaseTable HEARTH_TABLE(baseTable) = {decode<float>, decode<BFloat16>, encodeNormalFloats};

}  // namespace hearth
