// The loops of AdamW: every element depends on its own place alone, with 8-bit moments on its own block. They are bound by
// memory, so what counts is how it is touched: a whole cache line of one tensor after the other, and what a step writes
// elsewhere goes past the caches. For the operators see adamw.cc and adamw-8bit.cc.

// No fused multiply-add: a step in float32 has the same bits on processors that lack it.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "kernels/adamw.h"

#include "kernels/simd/byte-codes.h"
#include "kernels/simd/vector.h"

namespace hearth {

namespace {

/** Vectors of a cache line. */
constexpr int kLine = kLanes >= 16 ? 1 : 16 / kLanes;

struct Element {
  Vector weight, m, v;
};

HEARTH_INLINE Element stepOf(Element x, Vector gradient, const AdamwCoefficients& c) {
  const Vector g = gradient * c.gradientScale;
  const Vector m = x.m + (g - x.m) * c.oneMinusBeta1;
  const Vector v = x.v * c.beta2 + (g * g) * c.oneMinusBeta2;
  return {x.weight * c.decay - c.stepSize * m / (squareRoot(v) + c.epsilon), m, v};
}

HEARTH_INLINE void storeLine(float* to, const Vector (&line)[kLine], bool past) {
#pragma GCC unroll 4
  for (int k = 0; k < kLine; ++k) {
    if (past) storePast(to + k * kLanes, line[k]);
    else store(to + k * kLanes, line[k]);
  }
}

template <bool Past>
HEARTH_INLINE void stepOfLine(const AdamwState& in, const float* gradient, const AdamwState& out, int64_t i, const AdamwCoefficients& c) {
  Vector weight[kLine], m[kLine], v[kLine];
#pragma GCC unroll 4
  for (int k = 0; k < kLine; ++k) {
    const int64_t at = i + k * kLanes;
    const Element x = stepOf({load(in.weight + at), load(in.m + at), load(in.v + at)}, load(gradient + at), c);
    weight[k] = x.weight, m[k] = x.m, v[k] = x.v;
  }
  storeLine(out.weight + i, weight, Past);
  storeLine(out.m + i, m, Past);
  storeLine(out.v + i, v, Past);
}

bool aligned(const float* a, const float* b, const float* c) {
  return (((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & 63) == 0;
}

void step(const AdamwState& in, const float* gradient, const AdamwState& out, int64_t begin, int64_t end, const AdamwCoefficients& c) {
  const bool past = out.weight != in.weight && aligned(out.weight + begin, out.m + begin, out.v + begin);
  int64_t i = begin;
  if (past) {
    for (; i + 16 <= end; i += 16) stepOfLine<true>(in, gradient, out, i, c);
    endStoresPast();
  }
  for (; i + 16 <= end; i += 16) stepOfLine<false>(in, gradient, out, i, c);
  eachVector(end - i, [=](int64_t rest, auto part) {
    const int64_t at = i + rest;
    const Element x = stepOf({part.load(in.weight + at), part.load(in.m + at), part.load(in.v + at)}, part.load(gradient + at), c);
    part.store(out.weight + at, x.weight);
    part.store(out.m + at, x.m);
    part.store(out.v + at, x.v);
  });
}

/** What makes a block's elements fractions of the largest; 0 where the largest is 0 or too small to divide by. */
HEARTH_INLINE float reciprocalOf(float& largest) {
  if (largest < 1.17549435e-38f) largest = 0.0f;
  return largest == 0.0f ? 0.0f : 1.0f / largest;
}

HEARTH_INLINE Vector magnitude(Vector x) { return (Vector)((IntVector)x & 0x7fffffff); }

/** moments = the values of codes. */
template <typename Codes>
HEARTH_INLINE void widen(const uint8_t* from, float largest, float* moments) {
  const Codes codes;
  const Vector scale = broadcast(largest);
#pragma GCC unroll 2
  for (int64_t i = 0; i < kMomentBlock; i += kLanes) store(moments + i, codes.decode(from + i) * scale);
}

/** The largest of the moments, and their codes. */
template <typename Codes>
HEARTH_INLINE void narrow(const float* moments, Vector most, float* largest, uint8_t* to) {
  const Codes codes;
  *largest = maximumOfLanes(most);
  const Vector share = broadcast(reciprocalOf(*largest));
#pragma GCC unroll 2
  for (int64_t i = 0; i < kMomentBlock; i += kLanes) codes.encode(load(moments + i) * share, to + i);
}

/** One whole block. Its moments stay in the first cache; loop by loop, because all at once need more registers than there are. */
template <bool Past>
HEARTH_INLINE void stepOfBlock(const AdamwByteState& in, const float* gradient, const AdamwByteState& out, const AdamwCoefficients& coefficients) {
  alignas(64) float m[kMomentBlock], v[kMomentBlock];
  const AdamwCoefficients c = coefficients;  // a byte may lie anywhere: bytes written do not change these
  widen<SignedCodes>(in.m, *in.mLargest, m);
  widen<UnsignedCodes>(in.v, *in.vLargest, v);
  Vector mMost{}, vMost{};
  for (int64_t i = 0; i < kMomentBlock; i += kLanes) {
    const Element x = stepOf({load(in.weight + i), load(m + i), load(v + i)}, load(gradient + i), c);
    if (Past) storePast(out.weight + i, x.weight);
    else store(out.weight + i, x.weight);
    store(m + i, x.m);
    store(v + i, x.v);
    mMost = maximum(magnitude(x.m), mMost);
    vMost = maximum(x.v, vMost);
  }
  narrow<SignedCodes>(m, mMost, out.mLargest, out.m);
  narrow<UnsignedCodes>(v, vMost, out.vLargest, out.v);
}

/** The last block where it is short: in copies filled up with zeros, which stay zeros. */
__attribute__((noinline)) void stepOfShortBlock(const AdamwByteState& in, const float* gradient, const AdamwByteState& out, int64_t count,
                                                const AdamwCoefficients& c) {
  alignas(64) float weight[kMomentBlock] = {}, g[kMomentBlock] = {};
  alignas(64) uint8_t m[kMomentBlock] = {}, v[kMomentBlock] = {};
  memcpy(weight, in.weight, count * sizeof(float));
  memcpy(g, gradient, count * sizeof(float));
  memcpy(m, in.m, count);
  memcpy(v, in.v, count);
  stepOfBlock<false>({weight, m, v, in.mLargest, in.vLargest}, g, {weight, m, v, out.mLargest, out.vLargest}, c);
  memcpy(out.weight, weight, count * sizeof(float));
  memcpy(out.m, m, count);
  memcpy(out.v, v, count);
}

HEARTH_INLINE AdamwByteState blockOf(const AdamwByteState& state, int64_t block) {
  const int64_t at = block * kMomentBlock;
  return {state.weight + at, state.m + at, state.v + at, state.mLargest + block, state.vLargest + block};
}

void stepOfBytes(const AdamwByteState& in, const float* gradient, const AdamwByteState& out, int64_t first, int64_t last, int64_t count,
                 const AdamwCoefficients& c) {
  const bool past = out.weight != in.weight && ((uintptr_t)out.weight & 63) == 0;
  for (int64_t block = first; block < last; ++block) {
    const AdamwByteState from = blockOf(in, block), to = blockOf(out, block);
    const float* const g = gradient + block * kMomentBlock;
    const int64_t rest = count - block * kMomentBlock;
    if (rest < kMomentBlock) stepOfShortBlock(from, g, to, rest, c);
    else if (past) stepOfBlock<true>(from, g, to, c);
    else stepOfBlock<false>(from, g, to, c);
  }
  if (past) endStoresPast();
}

}  // namespace

extern const AdamwTable HEARTH_TABLE(adamwTable) = {step, stepOfBytes};

}  // namespace hearth
