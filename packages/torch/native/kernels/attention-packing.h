// Between the heads in a tensor and the packed float32 rows and panels that attention.simd.cc works on. For that file
// alone. Rotary positions (Su et al. 2021) are half-split: element i turns with element i + rotaryDims / 2.
#pragma once
#include "kernels/attention.h"
#include "kernels/simd/tile-product.h"
#include "kernels/simd/transpose.h"
#include "kernels/simd/vector.h"

namespace hearth {
namespace {

/** Angles of one position. */
struct Turn {
  const float* cos;
  const float* sin;
  int64_t half;
};

HEARTH_INLINE Turn turnAt(const HeadLayout& layout, int64_t position, bool turned) {
  if (!turned || layout.rotaryDims == 0) return {nullptr, nullptr, 0};
  return {layout.cos + position * layout.rotaryDims, layout.sin + position * layout.rotaryDims, layout.rotaryDims / 2};
}

template <typename T>
void pack(const HeadLayout& layout, HeadRows<const T> from, float factor, float* rows) {
  for (int64_t i = 0; i < from.count; ++i, from.data += from.stride, rows += layout.row) {
    const T* x = from.data;
    const Turn turn = turnAt(layout, from.first + i, from.turned);
    const int64_t half = turn.half;
    eachVector(half, [=](int64_t e, auto part) {
      const Vector a = part.load(x + e), b = part.load(x + half + e);
      part.store(rows + e, factor * (a * part.load(turn.cos + e) + b * part.load(turn.sin + e)));
      part.store(rows + half + e, factor * (b * part.load(turn.cos + half + e) + a * part.load(turn.sin + half + e)));
    });
    eachVector(layout.width - 2 * half, [=](int64_t e, auto part) {
      part.store(rows + 2 * half + e, factor * part.load(x + 2 * half + e));
    });
    for (int64_t e = layout.width; e < layout.paddedWidth; ++e) rows[e] = 0;
  }
}

template <typename T>
void unpack(const HeadLayout& layout, const float* rows, int64_t parts, int64_t partStride, float factor, HeadRows<T> to) {
  const auto summed = [=](const float* from, auto part) {
    Vector sum = part.load(from);
    for (int64_t p = 1; p < parts; ++p) sum += part.load(from + p * partStride);
    return factor * sum;
  };
  for (int64_t i = 0; i < to.count; ++i, to.data += to.stride, rows += layout.row) {
    T* x = to.data;
    const Turn turn = turnAt(layout, to.first + i, to.turned);
    const int64_t half = turn.half;
    eachVector(half, [=](int64_t e, auto part) {
      const Vector a = summed(rows + e, part), b = summed(rows + half + e, part);
      part.store(x + e, a * part.load(turn.cos + e) + b * part.load(turn.sin + half + e));
      part.store(x + half + e, b * part.load(turn.cos + half + e) + a * part.load(turn.sin + e));
    });
    eachVector(layout.width - 2 * half, [=](int64_t e, auto part) {
      part.store(x + 2 * half + e, summed(rows + 2 * half + e, part));
    });
  }
}

void packPanels(const HeadLayout& layout, const float* rows, int64_t count, float* panels) {
  for (int64_t first = 0; first < count; first += kLanes) {
    const float* from = rows + first * layout.row;
    float* to = panels + first / kPanel * kPanel * layout.width + first % kPanel;
    int64_t e = 0;
    if (first + kLanes <= count)
      for (; e + kLanes <= layout.width; e += kLanes) transposeSquare(from + e, layout.row, to + e * kPanel, kPanel);
    for (; e < layout.width; ++e)
      for (int64_t i = 0; i < kLanes; ++i) to[e * kPanel + i] = first + i < count ? from[i * layout.row + e] : 0.0f;
  }
  const int64_t filled = (count + kLanes - 1) / kLanes * kLanes;
  if (filled % kPanel != 0)
    for (int64_t e = 0; e < layout.width; ++e) store(panels + filled / kPanel * kPanel * layout.width + kLanes + e * kPanel, Vector{});
}

}  // namespace
}  // namespace hearth
