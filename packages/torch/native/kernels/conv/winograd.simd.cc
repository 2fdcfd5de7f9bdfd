// The transforms of winograd.h, for the points 0, ±P, ±Q and infinity. With the usual 1 and 2 for P and Q errors are six
// times those of the plain sums; with 3/4 and 3/2, between which the powers stay near 1, less than twice (3.1e-6 and 1.8e-6
// of the largest sum at 320 channels).
// Sources: Winograd, "Arithmetic Complexity of Computations", 1980; Lavin, Gray, "Fast Algorithms for Convolutional Neural
// Networks", arXiv:1509.09308; on the choice of points Barabasz et al., arXiv:1803.10986.
#include "kernels/conv/winograd.h"

#include "kernels/gemm/words.h"
#include "kernels/simd/vector.h"

namespace hearth {

namespace {

constexpr float kP = 0.75f, kQ = 1.5f;
constexpr float kP2 = kP * kP, kQ2 = kQ * kQ;
/** 1 / (2 p² (p² - q²)) and 1 / (2 q² (q² - p²)): what Lagrange's polynomials are divided by. */
constexpr float kOfP = 1 / (2 * kP2 * (kP2 - kQ2)), kOfQ = 1 / (2 * kQ2 * (kQ2 - kP2));

HEARTH_INLINE Vector times(float factor, Vector x, Vector added) { return multiplyAdd(broadcast(factor), x, added); }

/** Six pixels, `S` apart, become the values of their polynomial's transposed evaluation. */
template <int S>
HEARTH_INLINE void transformPixels(const Vector* d, Vector* to) {
  const Vector evenP = times(-kQ2, d[2 * S], d[4 * S]), oddP = times(-kQ2, d[S], d[3 * S]) * kP;
  const Vector evenQ = times(-kP2, d[2 * S], d[4 * S]), oddQ = times(-kP2, d[S], d[3 * S]) * kQ;
  to[0] = times(kP2 * kQ2, d[0], times(-kP2 - kQ2, d[2 * S], d[4 * S]));
  to[S] = evenP + oddP;
  to[2 * S] = evenP - oddP;
  to[3 * S] = evenQ + oddQ;
  to[4 * S] = evenQ - oddQ;
  to[5 * S] = times(kP2 * kQ2, d[S], times(-kP2 - kQ2, d[3 * S], d[5 * S]));
}

/** Three weights, `S` apart, become six, `D` apart. */
template <int S, int D>
HEARTH_INLINE void transformWeights(const Vector* g, Vector* to) {
  const Vector evenP = times(kP2, g[2 * S], g[0]) * kOfP, oddP = g[S] * (kP * kOfP);
  const Vector evenQ = times(kQ2, g[2 * S], g[0]) * kOfQ, oddQ = g[S] * (kQ * kOfQ);
  to[0] = g[0] * (1 / (kP2 * kQ2));
  to[D] = evenP + oddP;
  to[2 * D] = evenP - oddP;
  to[3 * D] = evenQ + oddQ;
  to[4 * D] = evenQ - oddQ;
  to[5 * D] = g[2 * S];
}

/** Six sums, `S` apart, become four, `D` apart. */
template <int S, int D>
HEARTH_INLINE void transformSums(const Vector* m, Vector* to) {
  const Vector evenP = m[S] + m[2 * S], oddP = m[S] - m[2 * S], evenQ = m[3 * S] + m[4 * S], oddQ = m[3 * S] - m[4 * S];
  to[0] = m[0] + evenP + evenQ;
  to[D] = times(kP, oddP, kQ * oddQ);
  to[2 * D] = times(kP2, evenP, kQ2 * evenQ);
  to[3 * D] = times(kP2 * kP, oddP, times(kQ2 * kQ, oddQ, m[5 * S]));
}

/** The same word of kLanes rows, which are part of a panel, one or two. */
HEARTH_INLINE void storeRows(const WinogradPanels& panels, int64_t place, int64_t word, Vector x) {
  float* const to = panels.to + place * panels.placeStride + word * panels.rows;
  if (panels.rows >= kLanes) return store(to, x);
  constexpr int64_t kHalf = kLanes * 2;  // bytes
  memcpy(to, &x, kHalf);
  memcpy(to + panels.panelStride, (const char*)&x + kHalf, kHalf);
}

template <typename T>
void image(const T* const* pixels, int64_t channels, const WinogradPanels& panels) {
  Vector all[kWinogradPlaces][kLanes];
  for (int64_t c = 0; c < channels; c += kLanes) {
    for (int tile = 0; tile < kLanes; ++tile) {
      Vector d[kWinogradPlaces], columns[kWinogradPlaces];
#pragma GCC unroll 36
      for (int i = 0; i < kWinogradPlaces; ++i) d[i] = load(pixels[tile * kWinogradPlaces + i] + c);
#pragma GCC unroll 6
      for (int x = 0; x < kWinogradSide; ++x) transformPixels<kWinogradSide>(d + x, columns + x);
#pragma GCC unroll 6
      for (int y = 0; y < kWinogradSide; ++y) transformPixels<1>(columns + y * kWinogradSide, d + y * kWinogradSide);
#pragma GCC unroll 36
      for (int i = 0; i < kWinogradPlaces; ++i) all[i][tile] = d[i];
    }
    for (int i = 0; i < kWinogradPlaces; ++i) {
      transpose(all[i]);
      for (int j = 0; j < kLanes; ++j) storeRows(panels, i, c + j, all[i][j]);
    }
  }
}

/** kLanes rows of one word: g holds their nine taps. */
HEARTH_INLINE void transformWord(const Vector (&g)[9], int64_t word, const WinogradPanels& panel) {
  Vector columns[3 * kWinogradSide], all[kWinogradPlaces];
#pragma GCC unroll 3
  for (int x = 0; x < 3; ++x) transformWeights<3, 3>(g + x, columns + x);  // (6, 3)
#pragma GCC unroll 6
  for (int y = 0; y < kWinogradSide; ++y) transformWeights<1, 1>(columns + 3 * y, all + y * kWinogradSide);
#pragma GCC unroll 36
  for (int i = 0; i < kWinogradPlaces; ++i) storeRows(panel, i, word, all[i]);
}

/** kLanes rows of kLanes words, which lie side by side. */
template <typename T>
HEARTH_INLINE void transformSquare(const T* from, const WinogradWeights<T>& weights, int64_t word, const WinogradPanels& panel) {
  Vector taps[9][kLanes];
  for (int tap = 0; tap < 9; ++tap) {
    for (int row = 0; row < kLanes; ++row) taps[tap][row] = load(from + tap * weights.tapStride + row * weights.rowStride);
    transpose(taps[tap]);
  }
  for (int j = 0; j < kLanes; ++j) {
    const Vector g[9] = {taps[0][j], taps[1][j], taps[2][j], taps[3][j], taps[4][j], taps[5][j], taps[6][j], taps[7][j], taps[8][j]};
    transformWord(g, word + j, panel);
  }
}

template <typename T>
void weights(const WinogradWeights<T>& from, int64_t depth, const WinogradPanels& panel) {
  for (int64_t row = 0; row < panel.rows; row += kLanes) {
    const WinogradPanels at{panel.to + row, panel.placeStride, panel.panelStride, panel.rows};
    const T* const data = from.data + row * from.rowStride;
    if (row >= from.rows) {
      for (int64_t word = 0; word < depth; ++word)
        for (int i = 0; i < kWinogradPlaces; ++i) storeRows(at, i, word, Vector{});
    } else if (from.depthStride == 1) {
      for (int64_t word = 0; word < depth; word += kLanes) transformSquare(data + word, from, word, at);
    } else {
      for (int64_t word = 0; word < depth; ++word) {
        Vector g[9];
        for (int tap = 0; tap < 9; ++tap) g[tap] = load(data + word * from.depthStride + tap * from.tapStride);
        transformWord(g, word, at);
      }
    }
  }
}

void sums(const float* from, int64_t placeStride, int64_t columns, float* to) {
  for (int64_t c = 0; c < columns; c += kLanes) {
    Vector m[kWinogradPlaces], rows[kWinogradOut * kWinogradSide];
#pragma GCC unroll 36
    for (int i = 0; i < kWinogradPlaces; ++i) m[i] = load(from + i * placeStride + c);
#pragma GCC unroll 6
    for (int x = 0; x < kWinogradSide; ++x) transformSums<kWinogradSide, kWinogradSide>(m + x, rows + x);  // (4, 6)
#pragma GCC unroll 4
    for (int y = 0; y < kWinogradOut; ++y) {
      Vector out[kWinogradOut];
      transformSums<1, 1>(rows + y * kWinogradSide, out);
      for (int x = 0; x < kWinogradOut; ++x) store(to + (y * kWinogradOut + x) * columns + c, out[x]);
    }
  }
}

}  // namespace

extern const WinogradTable HEARTH_TABLE(winogradTable) = {kLanes, {image<float>, weights<float>}, {image<BFloat16>, weights<BFloat16>}, sums};

}  // namespace hearth
