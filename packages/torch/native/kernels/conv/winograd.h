// The loops of winograd-product.cc, one table a form; see simd/forms.h. A tile of 6 by 6 pixels gives 4 by 4 sums of a 3 by 3
// kernel by 36 multiplications a channel in place of 144, after a transform of the pixels and before one of the sums.
// All numbers are float32, also those of a bfloat16 image.
#pragma once
#include "kernels/simd/forms.h"

namespace hearth {

constexpr int64_t kWinogradSide = 6, kWinogradOut = 4;
/** Products of a tile: one for each place. */
constexpr int64_t kWinogradPlaces = kWinogradSide * kWinogradSide;

/** Where `place` of a panel's word goes: panels of product.cc, one set of them for each place. */
struct WinogradPanels {
  float* to;
  /** Floats from one place to the next, and from one panel to the next. */
  int64_t placeStride, panelStride;
  /** Rows of a panel: half a vector of the form, or whole ones. */
  int64_t rows;
};

/** Weights of `tapStride` between the nine taps, `rows` of them `rowStride` apart; one of both strides is 1. */
template <typename T>
struct WinogradWeights {
  const T* data;
  int64_t rows, rowStride, depthStride, tapStride;
};

template <typename T>
struct WinogradLoops {
  /** `channels` of the tiles whose pixels `pixels` points to: kWinogradPlaces for each of `lanes` tiles, as rows of panels. */
  void (*image)(const T* const* pixels, int64_t channels, const WinogradPanels& panels);
  /** `depth` words of the rows of one panel; rows that there are not become zeros. */
  void (*weights)(const WinogradWeights<T>& from, int64_t depth, const WinogradPanels& panel);
};

struct WinogradTable {
  /** Tiles that `image` takes at a time, and the multiple of rows and channels that the loops want. */
  int64_t lanes;
  WinogradLoops<float> float32;
  WinogradLoops<BFloat16> bfloat16;
  /** From sums (places, columns), placeStride apart, to 16 rows of `columns` each, 16 · columns in all. */
  void (*sums)(const float* from, int64_t placeStride, int64_t columns, float* to);
};

HEARTH_FORMS(WinogradTable, winogradTable)

}  // namespace hearth
