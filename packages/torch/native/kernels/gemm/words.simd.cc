// The matrix products of vectors: sums of C stay in registers while one word of depth after the other is multiplied,
// a word of L with three vectors of R. bfloat16 is widened as it is packed, or multiplied in pairs by vdpbf16ps.
// vdpbf16ps was compiled but not yet run by us, for want of such a processor; tests run its meaning, which stands beside it.
// Source of the scheme: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
#include "kernels/gemm/words.h"

namespace hearth {

namespace {

constexpr int kLeftRows = kLanes == 16 ? 8 : 4;
constexpr int kVectors = 3;
constexpr int kRightRows = kVectors * kLanes;

/** The bits of one word in every lane. */
HEARTH_INLINE Vector everywhere(const uint32_t& word) {
  float bits;
  memcpy(&bits, &word, 4);
  return broadcast(bits);
}

/** sum + a b, in one rounding. */
struct Floats {
  HEARTH_MEMBER static Vector multiplyAdd(Vector a, Vector b, Vector sum) { return hearth::multiplyAdd(a, b, sum); }
};

/** sum + the products of both halves. */
struct Pairs {
  HEARTH_MEMBER static Vector multiplyAdd(Vector a, Vector b, Vector sum) {
#if defined(__AVX512F__)
    // The assembler knows it without -mavx512bf16, and only processors that have it get here (choice.cc).
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    const BitVector high = BitVector{} + 0xffff0000u;
    sum = hearth::multiplyAdd((Vector)((BitVector)a & high), (Vector)((BitVector)b & high), sum);
    return hearth::multiplyAdd((Vector)((BitVector)a << 16), (Vector)((BitVector)b << 16), sum);
#endif
  }
};

/** Adds `words` of depth to kLeftRows by V vectors of C. */
template <typename Arithmetic, int V>
HEARTH_INLINE void addProducts(const uint32_t* left, const uint32_t* right, int64_t words, float* sums, int64_t stride, bool first) {
  Vector sum[kLeftRows][V];
  for (int i = 0; i < kLeftRows; ++i)
    for (int j = 0; j < V; ++j) sum[i][j] = first ? Vector{} : load(sums + i * stride + j * kLanes);
#pragma GCC unroll 4
  for (int64_t word = 0; word < words; ++word, left += kLeftRows, right += kRightRows) {
    Vector r[V];
#pragma GCC unroll 3
    for (int j = 0; j < V; ++j) r[j] = load((const float*)right + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kLeftRows; ++i) {
      const Vector l = everywhere(left[i]);
#pragma GCC unroll 3
      for (int j = 0; j < V; ++j) sum[i][j] = Arithmetic::multiplyAdd(l, r[j], sum[i][j]);
    }
  }
  for (int i = 0; i < kLeftRows; ++i)
    for (int j = 0; j < V; ++j) store(sums + i * stride + j * kLanes, sum[i][j]);
}

/** Fetches one of `parts` parts of the next right panel into the second cache. */
HEARTH_INLINE void fetchPart(const uint32_t* next, int64_t words, int64_t part, int64_t parts) {
  const int64_t lines = words * kRightRows / 16;
  for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line) __builtin_prefetch(next + line * 16, 0, 2);
}

template <typename Arithmetic>
void multiply(const BlockTask& task) {
  for (int64_t column = 0; column < task.columns; column += kRightRows) {
    const uint32_t* right = task.right + column * task.words;
    const int64_t vectors = (task.columns - column + kLanes - 1) / kLanes;
    for (int64_t panel = 0; panel < task.leftPanels; ++panel) {
      const uint32_t* left = task.left + panel * kLeftRows * task.words;
      float* sums = task.sums + panel * kLeftRows * task.sumsStride + column;
      fetchPart(right + kRightRows * task.words, task.words, panel, task.leftPanels);
      if (vectors >= 3) addProducts<Arithmetic, 3>(left, right, task.words, sums, task.sumsStride, task.first);
      else if (vectors == 2) addProducts<Arithmetic, 2>(left, right, task.words, sums, task.sumsStride, task.first);
      else addProducts<Arithmetic, 1>(left, right, task.words, sums, task.sumsStride, task.first);
    }
  }
}

/** 24 KiB of the first cache for the right panel, and 98 KiB of the second for the left block. */
constexpr int kBlockWords = 24 * 1024 / 4 / kRightRows;

template <typename Words, typename Arithmetic>
constexpr GemmKernel kernelOf() {
  return {kLeftRows, kRightRows, Words::kDepth, Words::kDepth, kBlockWords, 96 / kLeftRows, 960 / kRightRows,
          packPanels<Words, kLeftRows>, packPanels<Words, kRightRows>, multiply<Arithmetic>};
}

}  // namespace

extern const GemmTable HEARTH_TABLE(gemmTable) = {kernelOf<FloatWords, Floats>(), kernelOf<WidenedWords, Floats>(), kernelOf<PairWords, Pairs>()};

}  // namespace hearth
