// How the elements of an operand become words of 32 bits, and how words become panels. For `*.simd.cc` files alone.
#pragma once
#include "kernels/gemm/kernel.h"
#include "kernels/simd/vector.h"

namespace hearth {
namespace {

/** float32 as it is. */
struct FloatWords {
  using Source = float;
  static constexpr int kDepth = 1;
};

/** bfloat16, widened. */
struct WidenedWords {
  using Source = BFloat16;
  static constexpr int kDepth = 1;
};

/** Two bfloat16 that follow each other in depth, the first in the low half. */
struct PairWords {
  using Source = BFloat16;
  static constexpr int kDepth = 2;
};

/** kLanes words of one row, which is contiguous in depth. */
template <typename Words>
HEARTH_INLINE Vector wordsOfRow(const typename Words::Source* from) {
  if constexpr (Words::kDepth == 1) return load(from);
  Vector pairs;
  memcpy(&pairs, from, sizeof(pairs));
  return pairs;
}

HEARTH_INLINE BitVector bitsOf(const BFloat16* from) {
  HalfVector halves;
  memcpy(&halves, from, sizeof(halves));
  return __builtin_convertvector(halves, BitVector);
}

/** The same word of kLanes rows, which are contiguous in rows and `depthStride` apart in depth. */
template <typename Words>
HEARTH_INLINE Vector wordOfRows(const typename Words::Source* from, int64_t depthStride) {
  if constexpr (Words::kDepth == 1) return load(from);
  else return (Vector)(bitsOf(from) | bitsOf(from + depthStride) << 16);
}

template <int... J>
struct Lanes {};
#if defined(__AVX512F__)
using AllLanes = Lanes<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
#elif defined(__AVX2__)
using AllLanes = Lanes<0, 1, 2, 3, 4, 5, 6, 7>;
#else
using AllLanes = Lanes<0, 1, 2, 3>;
#endif

/** Exchanges the upper right and the lower left corner of each square of 2 S lanes. */
template <int S, int... J>
HEARTH_INLINE void exchangeCorners(Vector& a, Vector& b, Lanes<J...>) {
  const Vector upper = __builtin_shufflevector(a, b, (J & S ? kLanes + J - S : J)...);
  b = __builtin_shufflevector(a, b, (J & S ? kLanes + J : J + S)...);
  a = upper;
}

template <int S>
HEARTH_INLINE void exchangeAll(Vector (&rows)[kLanes]) {
  if constexpr (S < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
      if ((i & S) == 0) exchangeCorners<S>(rows[i], rows[i + S], AllLanes{});
  }
}

/** Transposes a square of kLanes by kLanes words. */
HEARTH_INLINE void transpose(Vector (&rows)[kLanes]) {
  exchangeAll<1>(rows);
  exchangeAll<2>(rows);
  exchangeAll<4>(rows);
  exchangeAll<8>(rows);
}

enum class Order { byWord, byRow };

/** kLanes rows by kLanes words from `from` on; what comes out are vectors of one word each, or of one row each. */
template <typename Words, Order order>
HEARTH_INLINE void wholeSquare(const typename Words::Source* from, int64_t rowStride, int64_t depthStride, Vector (&square)[kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i)
    square[i] = depthStride == 1 ? wordsOfRow<Words>(from + i * rowStride) : wordOfRows<Words>(from + i * Words::kDepth * depthStride, depthStride);
  if ((depthStride == 1) != (order == Order::byRow)) transpose(square);
}

/** The same at an edge: what is not there is zero. */
template <typename Words, Order order>
__attribute__((noinline)) void partOfSquare(const Operand& from, int64_t row, int64_t depth, Vector (&square)[kLanes]) {
  using Source = typename Words::Source;
  constexpr int64_t kDeep = kLanes * Words::kDepth;
  Source copy[kLanes * kDeep] = {};
  const auto* data = static_cast<const Source*>(from.data) + row * from.rowStride + depth * from.depthStride;
  const int64_t rows = from.rows - row, deep = from.depth - depth;
  for (int64_t i = 0; i < kLanes && i < rows; ++i)
    for (int64_t k = 0; k < kDeep && k < deep; ++k) copy[i * kDeep + k] = data[i * from.rowStride + k * from.depthStride];
  wholeSquare<Words, order>(copy, kDeep, 1, square);
}

/** kLanes rows from `row` on, by kLanes words from element `depth` on. */
template <typename Words, Order order>
HEARTH_INLINE void squareOf(const Operand& from, int64_t row, int64_t depth, Vector (&square)[kLanes]) {
  if (row + kLanes > from.rows || depth + kLanes * Words::kDepth > from.depth) return partOfSquare<Words, order>(from, row, depth, square);
  const auto* data = static_cast<const typename Words::Source*>(from.data) + row * from.rowStride + depth * from.depthStride;
  if (from.depthStride == 1) wholeSquare<Words, order>(data, from.rowStride, 1, square);
  else wholeSquare<Words, order>(data, 1, from.depthStride, square);
}

/** Where kLanes rows from `row` on lie in panels of `Rows`: in pieces that one panel holds. */
template <int Rows>
struct Pieces {
  static constexpr int kWidth = Rows < kLanes ? Rows : kLanes;
  static constexpr int kCount = kLanes / kWidth;
  static_assert(kLanes % kWidth == 0 && Rows % kWidth == 0, "a vector of rows must not straddle panels");

  uint32_t* to[kCount];

  HEARTH_MEMBER Pieces(const PackTask& task, int64_t row) {
    for (int i = 0; i < kCount; ++i) {
      const int64_t at = row + i * kWidth, panel = at / Rows;
      to[i] = task.to + panel * task.words * Rows + at % Rows;
    }
  }

  /** Those of the first `count` pieces. */
  HEARTH_MEMBER void store(Vector x, int64_t word, int count) const {
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i)
      if (i < count) memcpy(to[i] + word * Rows, (const char*)&x + i * kWidth * 4, kWidth * 4);
  }
};

/** Packs panels of `Rows` rows: word after word, in each the same word of all rows. */
template <typename Words, int Rows>
void packPanels(const Operand& from, const PackTask& task) {
  const int64_t lastRow = task.lastPanel * Rows;
  for (int64_t row = task.firstPanel * Rows; row < lastRow; row += kLanes) {
    const Pieces<Rows> pieces(task, row);
    const int count = lastRow - row < kLanes ? (int)(lastRow - row) / Pieces<Rows>::kWidth : Pieces<Rows>::kCount;
    for (int64_t word = 0; word < task.words; word += kLanes) {
      Vector square[kLanes];
      squareOf<Words, Order::byWord>(from, row, (task.word + word) * Words::kDepth, square);
      if (count == Pieces<Rows>::kCount && task.words - word >= kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) pieces.store(square[i], word + i, Pieces<Rows>::kCount);
      } else {
        for (int64_t i = 0; i < kLanes && i < task.words - word; ++i) pieces.store(square[i], word + i, count);
      }
    }
  }
}

}  // namespace
}  // namespace hearth
