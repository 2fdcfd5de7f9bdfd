// Tables that own native objects on behalf of JavaScript, which holds plain numbers instead of pointers.
// A handle is index + generation, so a stale one is recognised and can never reach freed memory.
// Not here: when objects are freed (scopes and finalisers live in TypeScript).
#pragma once
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

namespace hearth {

/** A slot map. Handles are exact integers below 2^53, because JavaScript keeps them in doubles. */
template <typename T>
class Table {
 public:
  /** Tables of different threads begin elsewhere: a handle that strays into another thread finds nothing there. */
  explicit Table(uint32_t firstGeneration = 1) : firstGeneration_(firstGeneration) {}

  double insert(T value) {
    uint32_t index;
    if (free_.empty()) {
      if (slots_.size() == kIndexSpan) throw std::length_error("more than 2^24 tensors are alive at once");
      index = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
      slots_.back().generation = firstGeneration_;
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.value = std::move(value);
    slot.live = true;
    ++live_;
    return static_cast<double>(slot.generation) * kIndexSpan + index;
  }

  /** The object behind a handle, or nullptr when the handle is stale or was never given out. */
  T* find(double handle) {
    if (!(handle >= kIndexSpan && handle < 9007199254740992.0)) return nullptr;
    const auto bits = static_cast<uint64_t>(handle);
    if (static_cast<double>(bits) != handle) return nullptr;
    const uint64_t index = bits & (kIndexSpan - 1);
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    return slot.live && slot.generation == bits / kIndexSpan ? &slot.value : nullptr;
  }

  /** Drops the object; false when the handle was stale already. */
  bool release(double handle) {
    T* value = find(handle);
    if (value == nullptr) return false;
    Slot& slot = slots_[static_cast<uint64_t>(handle) & (kIndexSpan - 1)];
    // Moved out first: destroying a tensor can run a deleter that looks at this table again.
    T dying = std::move(slot.value);
    slot.value = T();
    slot.live = false;
    --live_;
    // A slot whose generations are used up is retired rather than reused.
    if (++slot.generation < kMaxGeneration) free_.push_back(static_cast<uint32_t>(static_cast<uint64_t>(handle) & (kIndexSpan - 1)));
    return true;
  }

  size_t live() const { return live_; }

  template <typename F>
  void forEach(F&& visit) const {
    for (const Slot& slot : slots_)
      if (slot.live) visit(slot.value);
  }

 private:
  static constexpr uint64_t kIndexSpan = 1u << 24;
  static constexpr uint32_t kMaxGeneration = 1u << 28;
  struct Slot {
    T value{};
    // Never 0, so that 0 is never a handle.
    uint32_t generation = 1;
    bool live = false;
  };
  uint32_t firstGeneration_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
};

}  // namespace hearth
