// hearth::attention on a CPU, backward. One thread computes one query head whole, keys outside and queries inside, so that
// all three gradients come from one making of the scores; where several query heads share keys, their parts of those
// gradients are added afterwards, in the order of the heads. So no sum depends on the number of threads.
#include "kernels/attention-plan.h"

namespace hearth {

namespace {

using at::Tensor;

/** Operands and results of a call. */
struct Operands {
  Tensor q, k, v, upstream, out, logsumexp;
  Tensor queryGradient, keyGradient, valueGradient;
  /** (2, B, H, S, row): parts of the gradients of keys and of values, where heads share keys. */
  Tensor parts;
};

/** One thread's memory: all queries of a head, and a tile. */
class HeadScratch {
 public:
  HeadScratch(const AttentionPlan& plan, int64_t queries) : rows_(queries * plan.layout.row), tileRows_(kKeyTile * plan.layout.row) {
    memory_ = plan.scratch(3 * rows_ + queries + 2 * kTileFloats + 2 * tileRows_);
  }

  float* queryRows() const { return dataOf<float>(memory_); }
  float* upstreamRows() const { return queryRows() + rows_; }
  float* queryGradient() const { return upstreamRows() + rows_; }
  float* shares() const { return queryGradient() + rows_; }
  float* slopes() const { return shares() + kTileFloats; }
  float* keyGradient() const { return slopes() + kTileFloats; }
  float* valueGradient() const { return keyGradient() + tileRows_; }
  float* upstreamDots() const { return valueGradient() + tileRows_; }

 private:
  int64_t rows_, tileRows_;
  Tensor memory_;
};

template <typename T>
class HeadBackward {
 public:
  HeadBackward(const AttentionPlan& plan, const Operands& operands)
      : plan_(plan), x_(operands), packing_(packingOf<T>(plan.table)), packed_(plan, x_.k, x_.v, true), scratch_(plan, plan.a.queries()) {}

  void run(int64_t b, int64_t h) {
    packed_.hold(b, h / plan_.group());
    packQueries(b, h);
    for (int64_t key = 0; key < plan_.a.keys(); key += kKeyTile) runKeys(b, h, key);
    packing_.unpack(plan_.layout, scratch_.queryGradient(), 1, 0, plan_.a.scale, 
                    rowsOf<T>(x_.queryGradient, b, h, 0, plan_.a.queries(), offset(), true));
  }

 private:
  int64_t offset() const { return plan_.a.keys() - plan_.a.queries(); }

  void packQueries(int64_t b, int64_t h) {
    const int64_t Q = plan_.a.queries();
    float* rows = scratch_.queryGradient();
    packing_.pack(plan_.layout, rowsOf<const T>(x_.q, b, h, 0, Q, offset(), true), plan_.a.scale, scratch_.queryRows());
    packing_.pack(plan_.layout, rowsOf<const T>(x_.upstream, b, h, 0, Q, 0, false), 1, scratch_.upstreamRows());
    packing_.pack(plan_.layout, rowsOf<const T>(x_.out, b, h, 0, Q, 0, false), 1, rows);
    plan_.table.dots(plan_.layout, scratch_.upstreamRows(), rows, Q, scratch_.upstreamDots());
    std::fill(rows, rows + Q * plan_.layout.row, 0.0f);
  }

  void runKeys(int64_t b, int64_t h, int64_t key) {
    const int64_t Q = plan_.a.queries(), count = std::min(kKeyTile, plan_.a.keys() - key), row = plan_.layout.row, width = plan_.layout.width;
    const bool shared = plan_.group() > 1;
    float* keyGradient = shared ? partOf(plan_, x_, 0, b, h, key) : scratch_.keyGradient();
    float* valueGradient = shared ? partOf(plan_, x_, 1, b, h, key) : scratch_.valueGradient();
    std::fill(keyGradient, keyGradient + count * row, 0.0f);
    std::fill(valueGradient, valueGradient + count * row, 0.0f);
    const float* logsumexp = dataOf<float>(x_.logsumexp) + (b * plan_.a.heads() + h) * Q;
    for (int64_t t = 0; t < Q; t += kQueryTile)
      plan_.table.backward(plan_.layout, plan_.table.products,
                           {std::min(kQueryTile, Q - t), count, key, plan_.visibleIn(b) + t, scratch_.queryRows() + t * row,
                            scratch_.upstreamRows() + t * row, packed_.keyRows() + key * row, packed_.keyPanels() + key * width,
                            packed_.valuePanels() + key * width, logsumexp + t, scratch_.upstreamDots() + t, scratch_.shares(),
                            scratch_.slopes(), scratch_.queryGradient() + t * row, keyGradient, valueGradient});
    if (!shared) finishKeys(plan_, x_, b, h, key, count, keyGradient, valueGradient);
  }

 public:
  static float* partOf(const AttentionPlan& plan, const Operands& x, int64_t which, int64_t b, int64_t h, int64_t key) {
    return dataOf<float>(x.parts) + which * x.parts.stride(0) + b * x.parts.stride(1) + h * x.parts.stride(2) + key * plan.layout.row;
  }

  /** Adds the parts of the query heads that share key head `h`, `partStride` apart, and writes the gradients. */
  static void finishKeys(const AttentionPlan& plan, const Operands& x, int64_t b, int64_t h, int64_t key, int64_t count, const float* keyGradient,
                         const float* valueGradient) {
    const auto& packing = packingOf<T>(plan.table);
    const int64_t partStride = plan.a.keys() * plan.layout.row;
    packing.unpack(plan.layout, keyGradient, plan.group(), partStride, 1, rowsOf<T>(x.keyGradient, b, h, key, count, 0, true));
    packing.unpack(plan.layout, valueGradient, plan.group(), partStride, 1, rowsOf<T>(x.valueGradient, b, h, key, count, 0, false));
  }

 private:
  const AttentionPlan& plan_;
  const Operands& x_;
  const HeadPacking<T>& packing_;
  PackedKeys<T> packed_;
  HeadScratch scratch_;
};

template <typename T>
void backwardHeads(const AttentionPlan& plan, const Operands& x) {
  const int64_t B = plan.a.batch(), H = plan.a.heads(), K = plan.a.keyHeads(), S = plan.a.keys(), G = plan.group();
  at::parallel_for(0, B * H, grainOf(plan, plan.a.queries()), [&](int64_t begin, int64_t end) {
    HeadBackward<T> head(plan, x);
    for (int64_t i = begin; i < end; ++i) head.run(i / H, i % H);
  });
  if (G == 1) return;
  at::parallel_for(0, B * K, grainOf(plan, plan.a.queries()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / K, h = i % K;
      using Head = HeadBackward<T>;
      Head::finishKeys(plan, x, b, h, 0, S, Head::partOf(plan, x, 0, b, h * G, 0), Head::partOf(plan, x, 1, b, h * G, 0));
    }
  });
}

}  // namespace

ThreeTensors attentionBackwardKernel(const AttentionResults& results, const AttentionArguments& a) {
  const AttentionPlan plan = planOf(a);
  Operands x{readable(a.q), readable(a.k), readable(a.v), readable(results.upstream), readable(results.out),
             results.logsumexp.to(at::kFloat).contiguous(), {}, {}, {}, {}};
  x.queryGradient = emptyLike(x.q);
  x.keyGradient = emptyLike(x.k);
  x.valueGradient = emptyLike(x.v);
  if (plan.group() > 1)
    x.parts = plan.scratch(2 * a.batch() * a.heads() * a.keys() * plan.layout.row).view({2, a.batch(), a.heads(), a.keys(), plan.layout.row});
  withElementsOf(x.q, [&](auto* element) { backwardHeads<std::remove_pointer_t<decltype(element)>>(plan, x); });
  return {x.queryGradient, x.keyGradient, x.valueGradient};
}

}  // namespace hearth
