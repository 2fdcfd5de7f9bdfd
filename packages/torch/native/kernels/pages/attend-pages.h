// The loops of attention over pages (attend-pages.cc), one table a form; see simd/forms.h. A page holds the keys and values
// of kPageTokens neighbouring tokens. Of one head, first the keys: dimension after dimension, each for all tokens of the
// page, so that a vector holds a dimension of several keys; then the values, token after token, `paddedWidth` elements each.
#pragma once
#include "kernels/attention.h"

namespace hearth {

constexpr int64_t kPageTokens = 16;
/** Pages between two steps of the softmax; counted from the first token of the text, so that sums have one order. */
constexpr int64_t kPagesAtOnce = 8;
constexpr int64_t kKeysAtOnce = kPageTokens * kPagesAtOnce;
/** Queries of one task at most: some rows of all the query heads that read one key head. */
constexpr int64_t kQueriesAtOnce = 64;

/** How the elements of a page lie; T is float, BFloat16 or int8_t. */
template <typename T>
struct LayerPages {
  T* elements;
  /** (pages, heads, 2, kPageTokens): the units of the integers of keys and of values; null where they are floats. */
  float* units;
  int64_t heads, width, paddedWidth;
};

/** The queries of some rows that read one key head of one text, packed. */
template <typename T>
struct PagedQueries {
  LayerPages<T> pages;
  /** Pages of the text in its order; -1 where one was given back, which nobody may see. */
  const int32_t* table;
  int64_t head;
  int64_t queries;
  const KeyRange* visible;
  /** (queries, paddedWidth): turned and scaled, zeros behind the width. */
  const float* rows;
  /** (queries, kKeysAtOnce): scratch. */
  float* scores;
  /** (queries, paddedWidth) */
  float* out;
};

/** What turns a row by rotary positions. */
struct RowTurn {
  int64_t dims;
  /** (dims), the first half of `sin` negated; null where nothing turns. */
  const float *cos, *sin;
};

template <typename T>
struct RowLoops {
  /** to (paddedWidth) = factor * turned(from), zeros behind the width. */
  void (*turn)(const T* from, int64_t width, int64_t paddedWidth, RowTurn by, float factor, float* to);
  void (*store)(const float* from, int64_t width, T* to);
};

template <typename T>
struct PageLoops {
  /** A token's key and value of one head to their place in a page. */
  void (*write)(const LayerPages<T>& pages, int64_t page, int64_t head, int64_t slot, const float* key, const float* value);
  void (*attend)(const PagedQueries<T>& task);
};

struct PagesTable {
  RowLoops<float> floatRows;
  RowLoops<BFloat16> halfRows;
  PageLoops<float> floats;
  PageLoops<BFloat16> halves;
  PageLoops<int8_t> bytes;
};

HEARTH_FORMS(PagesTable, pagesTable)

}  // namespace hearth
