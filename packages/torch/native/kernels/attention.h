// The loops of attention-forward.cc and attention-backward.cc, one table a form; see simd/forms.h. They work on one head
// at a time, packed to float32: rows (position by position, turned by rotary positions where there are some) and panels
// (the rows of `panel` positions transposed, for products whose depth is the width of a head).
// A tile is kQueryTile queries by at most kKeyTile keys: queries, scores and a panel of keys stay in L1, the keys and
// values of the tile in L2. Of 24 to 96 by 48 to 256, tried on Zen 3 from 128 to 2048 tokens, this one was the fastest for
// short texts, which lose most to the half of the diagonal's tiles that nobody sees, and within noise of it for long ones.
#pragma once
#include "kernels/simd/forms.h"
#include "kernels/simd/tile-operands.h"

namespace hearth {

constexpr int64_t kQueryTile = 24;
constexpr int64_t kKeyTile = 128;
/** Floats between the rows of a tile: an odd number of cache lines, so that a column's elements spread over the cache. */
constexpr int64_t kTileRow = kKeyTile + 16;
constexpr int64_t kTileFloats = kQueryTile * kTileRow;

/** The keys that a query sees: from `begin` to before `end`. */
struct KeyRange {
  int32_t begin, end;
};

/** What is the same for all heads of a call. */
struct HeadLayout {
  int64_t width;
  /** `width` in whole panels; packed rows hold zeros behind `width`. */
  int64_t paddedWidth;
  /** Floats between packed rows. */
  int64_t row;
  /** The first `rotaryDims` elements of queries and keys turn; 0 for none. */
  int64_t rotaryDims;
  /** (positions, rotaryDims), the first half of `sin` negated. */
  const float* cos;
  const float* sin;
};

/** `count` positions of one head in a tensor, from position `first` on; `turned` where rotary positions apply. */
template <typename T>
struct HeadRows {
  T* data;
  int64_t stride;
  int64_t first;
  int64_t count;
  bool turned;
};

template <typename T>
struct HeadPacking {
  /** rows = factor * turned(from). */
  void (*pack)(const HeadLayout& layout, HeadRows<const T> from, float factor, float* rows);
  /** to = factor * turned back(sum of `parts` blocks of rows, partStride apart). */
  void (*unpack)(const HeadLayout& layout, const float* rows, int64_t parts, int64_t partStride, float factor, HeadRows<T> to);
};

/**
 * The two operations that a form with matrix units would replace: how keys and values are packed for a product over the
 * width of a head, and the product of a tile. The loops below call them through the table, a tile at a time.
 */
struct TileProducts {
  /** Transposes rows to panels of `width` × `panel` each; positions behind `count` become zeros. */
  void (*packPanels)(const HeadLayout& layout, const float* rows, int64_t count, float* panels);
  /** out (rows, columns) = A B, plus what was there where `add`; columns in whole panels. */
  void (*product)(int64_t rows, int64_t columns, int64_t depth, LeftTile a, RightTile b, float* out, int64_t outRow, bool add);
};

/** At most kQueryTile queries of a head, and its keys and values from position 0 on. */
struct ForwardTile {
  int64_t queries;
  const KeyRange* visible;
  const float* queryRows;
  const float* keyPanels;
  const float* valueRows;
  /** Scratch of kTileFloats. */
  float* scores;
  /** Results: rows, and a number a query (-infinity for one that sees no key). */
  float* outRows;
  float* logsumexp;
};

/** At most kQueryTile queries and kKeyTile keys from `firstKey` on; pointers are to the first of them. */
struct BackwardTile {
  int64_t queries, keys, firstKey;
  const KeyRange* visible;
  const float *queryRows, *upstreamRows;
  const float *keyRows, *keyPanels, *valuePanels;
  const float *logsumexp, *upstreamDots;
  /** Scratch of kTileFloats each. */
  float *shares, *slopes;
  /** Rows that are added to. */
  float *queryGradient, *keyGradient, *valueGradient;
};

struct AttentionTable {
  int64_t panel;
  TileProducts products;
  HeadPacking<float> float32;
  HeadPacking<BFloat16> bfloat16;
  void (*forward)(const HeadLayout& layout, const TileProducts& products, const ForwardTile& tile);
  void (*backward)(const HeadLayout& layout, const TileProducts& products, const BackwardTile& tile);
  /** dots[i] = a row i · b row i. */
  void (*dots)(const HeadLayout& layout, const float* a, const float* b, int64_t count, float* dots);
};

HEARTH_FORMS(AttentionTable, attentionTable)

}  // namespace hearth
