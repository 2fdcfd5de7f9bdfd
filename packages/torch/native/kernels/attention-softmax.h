// The softmax of a row of scores that comes tile by tile (Milakov, Gimelshein 2018, arXiv:1805.02867): what attention over
// tiles (attention.simd.cc) and over pages (pages/attend-pages.simd.cc) share. For `*.simd.cc` files alone.
#pragma once
#include "kernels/attention.h"
#include "kernels/simd/vector.h"

namespace hearth {
namespace {

constexpr float kLowest = -__builtin_inff();

HEARTH_INLINE IntVector laneNumbers() {
  IntVector lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes;
}

/** Which columns from `column` on a query sees, where its range starts counting at the tile's first key. */
HEARTH_INLINE IntVector isVisible(int64_t column, KeyRange range) {
  const IntVector at = laneNumbers() + (int32_t)column;
  return (at >= range.begin) & (at < range.end);
}

HEARTH_INLINE KeyRange fromKey(KeyRange range, int64_t first) {
  return {(int32_t)(range.begin - first), (int32_t)(range.end - first)};
}

/**
 * e^x of what a softmax takes it of: 0 below -86 (of nothing that matters beside a largest share of 1), NaN of NaN, and
 * not for x > 88. Else as exponential() in simd/vector.h, at two thirds of its cost.
 */
HEARTH_INLINE Vector shareOf(Vector x) {
  const Vector shift = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, in the lowest bits
  const Vector clamped = maximum(broadcast(-86.0f), x);
  const Vector shifted = multiplyAdd(clamped, broadcast(1.44269504088896341f), shift), n = shifted - shift;
  Vector r = multiplyAdd(n, broadcast(-0.693359375f), clamped);
  r = multiplyAdd(n, broadcast(2.12194440e-4f), r);
  Vector p = broadcast(1.9875691500e-4f);
  p = multiplyAdd(p, r, broadcast(1.3981999507e-3f));
  p = multiplyAdd(p, r, broadcast(8.3334519073e-3f));
  p = multiplyAdd(p, r, broadcast(4.1665795894e-2f));
  p = multiplyAdd(p, r, broadcast(1.6666665459e-1f));
  p = multiplyAdd(p, r, broadcast(5.0000001201e-1f));
  p = multiplyAdd(p, r * r, r + 1.0f) * (Vector)((((BitVector)shifted) << 23) + 0x3f800000u);
  return (Vector)((IntVector)p & ~(x < -86.0f));
}

/** What is known of a query's softmax after some of its keys. */
struct Softmax {
  float most, total;
};

/** Makes e^(score - most) of a row of scores; where `most` grows, what came before is scaled down. */
HEARTH_INLINE void softmaxOfRow(float* scores, int64_t columns, KeyRange range, Softmax& soft, float* out, int64_t width) {
  Vector highest = broadcast(kLowest);
  const bool whole = range.begin <= 0 && range.end >= columns;
  for (int64_t c = 0; c < columns; c += kLanes) {
    Vector score = load(scores + c);
    if (!whole) store(scores + c, score = select(isVisible(c, range), score, broadcast(kLowest)));
    highest = maximum(highest, score);
  }
  const float before = soft.most, now = maximumOfLanes(highest);
  soft.most = before > now ? before : now;
  const Vector shift = broadcast(soft.most == kLowest ? 0.0f : soft.most);  // a row that sees nothing yet
  Vector total = {};
  for (int64_t c = 0; c < columns; c += kLanes) {
    const Vector share = shareOf(load(scores + c) - shift);
    store(scores + c, share);
    total += share;
  }
  if (soft.most != before && before != kLowest) {
    const Vector down = shareOf(broadcast(before) - shift);
    for (int64_t e = 0; e < width; e += kLanes) store(out + e, load(out + e) * down);
    soft.total *= down[0];
  }
  soft.total += sumLanes(total);
}

}  // namespace
}  // namespace hearth
