// The loops of attention over pages: a token's key and value into a page, and the softmax over a text's pages. What a query
// gets follows from its own text alone, in one order of sums, whatever queries are computed beside it.
#include "kernels/pages/attend-pages.h"

#include "kernels/attention-softmax.h"
#include "kernels/simd/vector.h"

namespace hearth {

namespace {

/** Vectors of one dimension of a page's keys, or of kPageTokens elements of a value. */
constexpr int kStrip = kPageTokens / kLanes;

HEARTH_INLINE Vector load(const int8_t* from) {
#if defined(__AVX512F__)
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
  Vector x;
  for (int i = 0; i < kLanes; ++i) x[i] = from[i];
  return x;
#endif
}

HEARTH_INLINE void store(int8_t* to, Vector x) {
  const Vector shift = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const IntVector whole = __builtin_convertvector((x + shift) - shift, IntVector);
  for (int i = 0; i < kLanes; ++i) to[i] = (int8_t)whole[i];
}

template <typename T>
HEARTH_INLINE T* keysOf(const LayerPages<T>& pages, int64_t page, int64_t head) {
  return pages.elements + (page * pages.heads + head) * 2 * kPageTokens * pages.paddedWidth;
}

template <typename T>
HEARTH_INLINE T* valuesOf(const LayerPages<T>& pages, int64_t page, int64_t head) {
  return keysOf(pages, page, head) + kPageTokens * pages.paddedWidth;
}

template <typename T>
HEARTH_INLINE float* unitsOf(const LayerPages<T>& pages, int64_t page, int64_t head) {
  return pages.units + (page * pages.heads + head) * 2 * kPageTokens;
}

template <typename T>
void turn(const T* from, int64_t width, int64_t paddedWidth, RowTurn by, float factor, float* to) {
  eachVector(width, [&](int64_t i, auto part) { part.store(to + i, part.load(from + i)); });
  for (int64_t i = width; i < paddedWidth; ++i) to[i] = 0;
  const int64_t half = by.dims / 2;
  for (int64_t i = 0; by.cos != nullptr && i < half; ++i) {
    const float first = to[i], second = to[i + half];
    to[i] = first * by.cos[i] + second * by.sin[i];
    to[i + half] = second * by.cos[i + half] + first * by.sin[i + half];
  }
  eachVector(width, [&](int64_t i, auto part) { part.store(to + i, part.load(to + i) * factor); });
}

template <typename T>
void storeRow(const float* from, int64_t width, T* to) {
  eachVector(width, [&](int64_t i, auto part) { part.store(to + i, part.load(from + i)); });
}

/** The unit of a row of integers: its largest magnitude becomes 127. */
HEARTH_INLINE float unitOf(const float* row, int64_t width) {
  float most = 0;
  for (int64_t i = 0; i < width; ++i) most = __builtin_fabsf(row[i]) > most ? __builtin_fabsf(row[i]) : most;
  return most / 127.0f;
}

template <typename T>
void write(const LayerPages<T>& pages, int64_t page, int64_t head, int64_t slot, const float* key, const float* value) {
  float inverses[2] = {1, 1};
  if (pages.units != nullptr) {
    const float* const rows[2] = {key, value};
    for (int side = 0; side < 2; ++side) {
      const float unit = unitOf(rows[side], pages.width);
      unitsOf(pages, page, head)[side * kPageTokens + slot] = unit;
      inverses[side] = unit > 0 ? 1.0f / unit : 0.0f;
    }
  }
  T* const keys = keysOf(pages, page, head);
  T* const values = valuesOf(pages, page, head) + slot * pages.paddedWidth;
  // Rows are padded to whole vectors.
  for (int64_t i = 0; i < pages.paddedWidth; i += kLanes) {
    T lanes[kLanes];
    store(lanes, load(key + i) * inverses[0]);
    for (int lane = 0; lane < kLanes; ++lane) keys[(i + lane) * kPageTokens + slot] = lanes[lane];
    store(values + i, load(value + i) * inverses[1]);
  }
}

/** Scores of `Queries` queries with the keys of `Pages` pages, all of which are there. */
template <int Queries, int Pages, typename T>
HEARTH_INLINE void scoresOf(const PagedQueries<T>& task, int64_t query, const int32_t* table, float* scores) {
  Vector sums[Queries][Pages][kStrip] = {};
  const T* keys[Pages];
  for (int p = 0; p < Pages; ++p) keys[p] = keysOf(task.pages, table[p], task.head);
  const float* const rows = task.rows + query * task.pages.paddedWidth;
  for (int64_t e = 0; e < task.pages.width; ++e)
    for (int p = 0; p < Pages; ++p)
      for (int s = 0; s < kStrip; ++s) {
        const Vector key = load(keys[p] + e * kPageTokens + s * kLanes);
        for (int q = 0; q < Queries; ++q) sums[q][p][s] = multiplyAdd(key, broadcast(rows[q * task.pages.paddedWidth + e]), sums[q][p][s]);
      }
  for (int q = 0; q < Queries; ++q)
    for (int p = 0; p < Pages; ++p)
      for (int s = 0; s < kStrip; ++s) {
        Vector score = sums[q][p][s];
        if (task.pages.units != nullptr) score *= load(unitsOf(task.pages, table[p], task.head) + s * kLanes);
        store(scores + q * kKeysAtOnce + p * kPageTokens + s * kLanes, score);
      }
}

/** Scores of all queries with the pages from `first` to before `last`; `scores` is that of the first query and page. */
template <typename T>
HEARTH_INLINE void allScores(const PagedQueries<T>& task, int64_t first, int64_t last, float* scores) {
  int64_t query = 0;
  for (; query + 4 <= task.queries; query += 4)
    for (int64_t page = first; page < last; ++page)
      scoresOf<4, 1>(task, query, task.table + page, scores + query * kKeysAtOnce + (page - first) * kPageTokens);
  for (; query < task.queries; ++query) {
    float* const row = scores + query * kKeysAtOnce;
    int64_t page = first;
    for (; page + 4 <= last; page += 4) scoresOf<1, 4>(task, query, task.table + page, row + (page - first) * kPageTokens);
    for (; page < last; ++page) scoresOf<1, 1>(task, query, task.table + page, row + (page - first) * kPageTokens);
  }
}

/** out += shares times values, of `Queries` queries and `Strips` times 16 dimensions from `e` on. */
template <int Queries, int Strips, typename T>
HEARTH_INLINE void addValues(const PagedQueries<T>& task, int64_t query, int64_t e, KeyRange keys, const float* scores) {
  const int64_t width = task.pages.paddedWidth;
  float* const out = task.out + query * width + e;
  Vector sums[Queries][Strips * kStrip];
  for (int q = 0; q < Queries; ++q)
    for (int s = 0; s < Strips * kStrip; ++s) sums[q][s] = load(out + q * width + s * kLanes);
  for (int64_t key = keys.begin; key < keys.end; ++key) {
    const int64_t page = task.table[key / kPageTokens], slot = key % kPageTokens;
    const T* const values = valuesOf(task.pages, page, task.head) + slot * width + e;
    const float unit = task.pages.units == nullptr ? 1.0f : unitsOf(task.pages, page, task.head)[kPageTokens + slot];
    Vector shares[Queries];
    for (int q = 0; q < Queries; ++q) shares[q] = broadcast(scores[q * kKeysAtOnce + key % kKeysAtOnce] * unit);
    for (int s = 0; s < Strips * kStrip; ++s) {
      const Vector value = load(values + s * kLanes);
      for (int q = 0; q < Queries; ++q) sums[q][s] = multiplyAdd(shares[q], value, sums[q][s]);
    }
  }
  for (int q = 0; q < Queries; ++q)
    for (int s = 0; s < Strips * kStrip; ++s) store(out + q * width + s * kLanes, sums[q][s]);
}

template <typename T>
HEARTH_INLINE void allValues(const PagedQueries<T>& task, KeyRange keys) {
  constexpr int64_t kFour = 4 * kPageTokens;
  int64_t query = 0;
  for (; query + 4 <= task.queries; query += 4)
    for (int64_t e = 0; e < task.pages.paddedWidth; e += kPageTokens) addValues<4, 1>(task, query, e, keys, task.scores + query * kKeysAtOnce);
  for (; query < task.queries; ++query) {
    const float* const scores = task.scores + query * kKeysAtOnce;
    int64_t e = 0;
    for (; e + kFour <= task.pages.paddedWidth; e += kFour) addValues<1, 4>(task, query, e, keys, scores);
    for (; e < task.pages.paddedWidth; e += kPageTokens) addValues<1, 1>(task, query, e, keys, scores);
  }
}

HEARTH_INLINE int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
HEARTH_INLINE int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/** The softmax of one step's scores; columns before the first page hold nothing yet and are nobody's to see. */
template <typename T>
HEARTH_INLINE void sharesOf(const PagedQueries<T>& task, int64_t start, int64_t columns, Softmax* soft) {
  const int64_t width = task.pages.paddedWidth;
  for (int64_t q = 0; q < task.queries; ++q)
    softmaxOfRow(task.scores + q * kKeysAtOnce, columns, fromKey(task.visible[q], start), soft[q], task.out + q * width, width);
}

template <typename T>
void attend(const PagedQueries<T>& task) {
  Softmax soft[kQueriesAtOnce];
  KeyRange seen = task.visible[0];
  for (int64_t q = 0; q < task.queries; ++q) {
    soft[q] = {kLowest, 0};
    seen = {smaller(seen.begin, task.visible[q].begin), larger(seen.end, task.visible[q].end)};
  }
  for (int64_t i = 0; i < task.queries * task.pages.paddedWidth; i += kLanes) store(task.out + i, Vector{});
  for (int64_t start = seen.begin / kKeysAtOnce * kKeysAtOnce; start < seen.end; start += kKeysAtOnce) {
    const KeyRange keys = {larger((int32_t)start, seen.begin), smaller((int32_t)(start + kKeysAtOnce), seen.end)};
    const int64_t first = keys.begin / kPageTokens, last = (keys.end + kPageTokens - 1) / kPageTokens;
    allScores(task, first, last, task.scores + first * kPageTokens - start);
    sharesOf(task, start, last * kPageTokens - start, soft);
    allValues(task, keys);
  }
  for (int64_t q = 0; q < task.queries; ++q) {
    float* const out = task.out + q * task.pages.paddedWidth;
    const Vector share = broadcast(1.0f / soft[q].total);
    for (int64_t e = 0; e < task.pages.paddedWidth; e += kLanes) store(out + e, load(out + e) * share);
  }
}

}  // namespace

extern const PagesTable HEARTH_TABLE(pagesTable) = {
    {turn<float>, storeRow<float>}, {turn<BFloat16>, storeRow<BFloat16>}, {write<float>, attend<float>},
    {write<BFloat16>, attend<BFloat16>}, {write<int8_t>, attend<int8_t>},
};

}  // namespace hearth
