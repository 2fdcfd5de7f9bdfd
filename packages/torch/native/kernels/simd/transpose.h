// Transposing kLanes vectors in registers. For `*.simd.cc` files alone.
#pragma once
#include "kernels/simd/vector.h"

namespace hearth {
namespace {

/** a0 b0 a1 b1 …, of the first halves. */
HEARTH_INLINE Vector interleaveFirst(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}

/** The same of the second halves. */
HEARTH_INLINE Vector interleaveSecond(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/** Writes the transpose of the square of kLanes × kLanes at `from` to `to`: log2(kLanes) perfect shuffles of its rows. */
HEARTH_INLINE void transposeSquare(const float* from, int64_t fromRow, float* to, int64_t toRow) {
  Vector rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = load(from + i * fromRow);
#pragma GCC unroll 4
  for (int stage = 1; stage < kLanes; stage *= 2) {
    Vector next[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = interleaveFirst(rows[i], rows[i + kLanes / 2]);
      next[2 * i + 1] = interleaveSecond(rows[i], rows[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * toRow, rows[i]);
}

}  // namespace
}  // namespace hearth
