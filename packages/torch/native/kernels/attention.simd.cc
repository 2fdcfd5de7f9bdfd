// The loops of attention over tiles of queries and keys. For the operator see attention.cc, for who calls these
// attention-forward.cc and attention-backward.cc. Source: Dao, "FlashAttention-2", arXiv:2307.08691, algorithms 1 and 2.
#include "kernels/attention.h"

#include "kernels/attention-packing.h"
#include "kernels/attention-softmax.h"
#include "kernels/simd/tile-product.h"
#include "kernels/simd/vector.h"

namespace hearth {

namespace {

HEARTH_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
HEARTH_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/** From the first key that any of the queries sees to the last. */
KeyRange seenByAny(const KeyRange* visible, int64_t queries) {
  KeyRange seen = visible[0];
  for (int64_t i = 1; i < queries; ++i) {
    seen.begin = least(seen.begin, visible[i].begin);
    seen.end = most(seen.end, visible[i].end);
  }
  return seen;
}

void forward(const HeadLayout& layout, const TileProducts& products, const ForwardTile& tile) {
  const int64_t width = layout.paddedWidth;
  Softmax soft[kQueryTile];
  for (int64_t i = 0; i < tile.queries; ++i) {
    soft[i] = {kLowest, 0};
    for (int64_t e = 0; e < width; e += kLanes) store(tile.outRows + i * layout.row + e, Vector{});
  }
  const KeyRange seen = seenByAny(tile.visible, tile.queries);
  for (int64_t key = seen.begin / kPanel * kPanel; key < seen.end; key += kKeyTile) {
    const int64_t keys = least(kKeyTile, seen.end - key), columns = (keys + kPanel - 1) / kPanel * kPanel;
    products.product(tile.queries, columns, layout.width, {tile.queryRows, layout.row, 1},
                     {tile.keyPanels + key * layout.width, kPanel, layout.width * kPanel}, tile.scores, kTileRow, false);
    for (int64_t i = 0; i < tile.queries; ++i)
      softmaxOfRow(tile.scores + i * kTileRow, columns, fromKey(tile.visible[i], key), soft[i], tile.outRows + i * layout.row, width);
    products.product(tile.queries, width, keys, {tile.scores, kTileRow, 1}, {tile.valueRows + key * layout.row, layout.row, kPanel},
                     tile.outRows, layout.row, true);
  }
  for (int64_t i = 0; i < tile.queries; ++i) {
    const Vector share = broadcast(soft[i].total > 0 || soft[i].total != soft[i].total ? 1.0f / soft[i].total : 0.0f);
    float* out = tile.outRows + i * layout.row;
    for (int64_t e = 0; e < width; e += kLanes) store(out + e, load(out + e) * share);
    tile.logsumexp[i] = soft[i].most + __builtin_logf(soft[i].total);
  }
}

/** scores become shares e^(score - logsumexp), slopes become the gradient of the scores. */
HEARTH_INLINE void slopesOfRow(float* shares, float* slopes, int64_t columns, KeyRange range, float logsumexp, float dot) {
  const bool whole = range.begin <= 0 && range.end >= columns;
  for (int64_t c = 0; c < columns; c += kLanes) {
    Vector share = shareOf(load(shares + c) - logsumexp);
    if (!whole) share = select(isVisible(c, range), share, Vector{});
    store(shares + c, share);
    store(slopes + c, share * (load(slopes + c) - dot));
  }
}

void backward(const HeadLayout& layout, const TileProducts& products, const BackwardTile& tile) {
  const KeyRange seen = fromKey(seenByAny(tile.visible, tile.queries), tile.firstKey);
  const int64_t from = most(seen.begin, 0) / kPanel * kPanel, to = least(seen.end, tile.keys);
  if (from >= to) return;
  const int64_t keys = to - from, columns = (keys + kPanel - 1) / kPanel * kPanel;
  const int64_t row = layout.row, width = layout.paddedWidth;
  products.product(tile.queries, columns, layout.width, {tile.queryRows, row, 1},
                   {tile.keyPanels + from * layout.width, kPanel, layout.width * kPanel}, tile.shares, kTileRow, false);
  products.product(tile.queries, columns, layout.width, {tile.upstreamRows, row, 1},
                   {tile.valuePanels + from * layout.width, kPanel, layout.width * kPanel}, tile.slopes, kTileRow, false);
  for (int64_t i = 0; i < tile.queries; ++i)
    slopesOfRow(tile.shares + i * kTileRow, tile.slopes + i * kTileRow, columns, fromKey(tile.visible[i], tile.firstKey + from),
                tile.logsumexp[i], tile.upstreamDots[i]);
  products.product(keys, width, tile.queries, {tile.shares, 1, kTileRow}, {tile.upstreamRows, row, kPanel},
                   tile.valueGradient + from * row, row, true);
  products.product(keys, width, tile.queries, {tile.slopes, 1, kTileRow}, {tile.queryRows, row, kPanel},
                   tile.keyGradient + from * row, row, true);
  products.product(tile.queries, width, keys, {tile.slopes, kTileRow, 1}, {tile.keyRows + from * row, row, kPanel}, tile.queryGradient,
                   row, true);
}

void dots(const HeadLayout& layout, const float* a, const float* b, int64_t count, float* dots) {
  for (int64_t i = 0; i < count; ++i) {
    Vector sum = {};
    for (int64_t e = 0; e < layout.paddedWidth; e += kLanes) sum = multiplyAdd(load(a + i * layout.row + e), load(b + i * layout.row + e), sum);
    dots[i] = sumLanes(sum);
  }
}

}  // namespace

extern const AttentionTable HEARTH_TABLE(attentionTable) = {
    kPanel,   {packPanels, tileProduct}, {pack<float>, unpack<float>}, {pack<BFloat16>, unpack<BFloat16>}, forward,
    backward, dots,
};

}  // namespace hearth
