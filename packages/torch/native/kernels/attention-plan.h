// How a call of hearth::attention is laid out on a CPU, and the packed operands of a head, for attention-forward.cc and
// attention-backward.cc.
#pragma once
#include "kernels/attention-operator.h"
#include "kernels/attention.h"
#include "kernels/operands.h"

namespace hearth {

inline int64_t inWhole(int64_t part, int64_t count) { return (count + part - 1) / part * part; }

/** What a call needs besides its operands. */
struct AttentionPlan {
  const AttentionArguments& a;
  const AttentionTable& table;
  HeadLayout layout;
  /** Kept for layout.cos and layout.sin. */
  at::Tensor cos, sin;
  /** (B or 1, T) of KeyRange. */
  at::Tensor visible;

  int64_t group() const { return a.heads() / a.keyHeads(); }
  const KeyRange* visibleIn(int64_t batch) const {
    return static_cast<const KeyRange*>(visible.data_ptr()) + (visible.size(0) == 1 ? 0 : batch * a.queries());
  }
  at::Tensor scratch(int64_t floats) const { return at::empty({floats}, at::TensorOptions().dtype(at::kFloat)); }
};

AttentionPlan planOf(const AttentionArguments& a);

template <typename T>
const HeadPacking<T>& packingOf(const AttentionTable& table) {
  if constexpr (std::is_same_v<T, float>) return table.float32;
  else return table.bfloat16;
}

/** Elements of a head side by side, as the loops want them. */
inline at::Tensor readable(const at::Tensor& x) { return x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous(); }

/** Positions `first` to `first + count` of a head; rotary positions count from `position` of the tensor's first. */
template <typename T>
HeadRows<T> rowsOf(const at::Tensor& x, int64_t batch, int64_t head, int64_t first, int64_t count, int64_t position, bool turned) {
  using Element = std::remove_const_t<T>;
  Element* data = dataOf<Element>(x) + batch * x.stride(0) + head * x.stride(1) + first * x.stride(2);
  return {data, x.stride(2), position + first, count, turned};
}

/** The keys and values of one head, packed; consecutive query heads that read them share them. */
template <typename T>
class PackedKeys {
 public:
  PackedKeys(const AttentionPlan& plan, const at::Tensor& k, const at::Tensor& v, bool forBackward) : plan_(plan), k_(k), v_(v), forBackward_(forBackward) {
    rowFloats_ = k.size(2) * plan.layout.row;
    panelFloats_ = inWhole(plan.table.panel, k.size(2)) * plan.layout.width;
    memory_ = plan.scratch(2 * rowFloats_ + (forBackward ? 2 : 1) * panelFloats_);
  }

  float* keyRows() const { return dataOf<float>(memory_); }
  float* valueRows() const { return keyRows() + rowFloats_; }
  float* keyPanels() const { return valueRows() + rowFloats_; }
  float* valuePanels() const { return keyPanels() + panelFloats_; }

  void hold(int64_t batch, int64_t head) {
    if (batch == batch_ && head == head_) return;
    batch_ = batch;
    head_ = head;
    const auto& packing = packingOf<T>(plan_.table);
    const int64_t keys = k_.size(2);
    packing.pack(plan_.layout, rowsOf<const T>(k_, batch, head, 0, keys, 0, true), 1, keyRows());
    packing.pack(plan_.layout, rowsOf<const T>(v_, batch, head, 0, keys, 0, false), 1, valueRows());
    plan_.table.products.packPanels(plan_.layout, keyRows(), keys, keyPanels());
    if (forBackward_) plan_.table.products.packPanels(plan_.layout, valueRows(), keys, valuePanels());
  }

 private:
  const AttentionPlan& plan_;
  const at::Tensor &k_, &v_;
  const bool forBackward_;
  int64_t rowFloats_, panelFloats_, batch_ = -1, head_ = -1;
  at::Tensor memory_;
};

/** As many pieces of work for a thread as are worth waking it. */
inline int64_t grainOf(const AttentionPlan& plan, int64_t queriesOfPiece) {
  const int64_t cost = queriesOfPiece * plan.a.keys() * plan.a.width();
  return std::max<int64_t>(1, (1 << 18) / std::max<int64_t>(1, cost));
}

}  // namespace hearth
