// See allocator.h. Every block has a header of one cache line before its data, which says where the block goes when it
// is freed: a freed tensor tells no more than its address, and may be freed by any thread.
#include "allocator.h"

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "large-blocks.h"

namespace hearth {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLargest = size_t{256} << 10;
/** Sizes of small blocks: eight steps up to 512 bytes, then four in each doubling up to 32 KiB. */
constexpr int kClasses = 32;
constexpr size_t kLargestListed = size_t{32} << 10;
/** Bytes that one list of one thread may hold. */
constexpr size_t kListBytes = size_t{128} << 10;
constexpr int64_t kReportEvery = 64 << 10;

constexpr int kPlain = kClasses;
constexpr int kLarge = kClasses + 1;

struct alignas(kAlignment) Header {
  /** Bytes that this block counts for: data, header and rounding. */
  size_t bytes;
  /** A list, or kPlain, or kLarge. */
  int home;
  Header* next;

  char* data() { return reinterpret_cast<char*>(this) + sizeof(Header); }
  static Header* of(void* data) { return reinterpret_cast<Header*>(static_cast<char*>(data) - sizeof(Header)); }
};
static_assert(sizeof(Header) == kAlignment, "data must keep the header's alignment");

int classOf(size_t bytes) {
  if (bytes <= 512) return static_cast<int>((bytes + 63) / 64) - 1;
  const int doubling = 63 - __builtin_clzll(bytes - 1);
  const auto quarter = static_cast<int>((bytes - 1) >> (doubling - 2)) & 3;
  return 8 + (doubling - 9) * 4 + quarter;
}

size_t sizeOfClass(int index) {
  if (index < 8) return (static_cast<size_t>(index) + 1) * 64;
  const int doubling = 9 + (index - 8) / 4;
  return (size_t{1} << doubling) + (static_cast<size_t>((index - 8) % 4) + 1) * (size_t{1} << (doubling - 2));
}

std::atomic<bool> installed{false};
std::atomic<int64_t> allocated{0};
std::atomic<int64_t> peak{0};

void report(int64_t bytes) {
  const int64_t now = allocated.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t highest = peak.load(std::memory_order_relaxed);
  while (now > highest && !peak.compare_exchange_weak(highest, now, std::memory_order_relaxed)) {}
}

/** Never destroyed: tensors are freed until the very end of the process. */
LargeBlocks& largeBlocks() {
  static auto* blocks = new LargeBlocks();
  return *blocks;
}

/** What one thread keeps: a few freed blocks of each size, and the bytes it has not reported yet. */
struct ThreadLists {
  Header* first[kClasses] = {};
  uint32_t count[kClasses] = {};
  int64_t unreported = 0;

  void note(int64_t bytes) {
    unreported += bytes;
    if (unreported > kReportEvery || unreported < -kReportEvery) flush();
  }

  void flush() {
    report(unreported);
    unreported = 0;
  }

  ~ThreadLists() {
    flush();
    for (Header* block : first)
      while (block != nullptr) std::free(std::exchange(block, block->next));
  }
};

enum class ThreadState : uint8_t { Fresh, Running, Ended };
// Plain data, so that it can still be read when the thread's other variables are gone and tensors are freed after them.
thread_local ThreadLists* lists = nullptr;
thread_local ThreadState state = ThreadState::Fresh;

struct ListsOwner {
  ThreadLists own;
  ListsOwner() {
    lists = &own;
    state = ThreadState::Running;
  }
  ~ListsOwner() {
    lists = nullptr;
    state = ThreadState::Ended;
  }
};

/** The lists of this thread; nullptr while the thread ends. */
ThreadLists* threadLists() {
  if (state == ThreadState::Fresh) {
    static thread_local ListsOwner owner;
    (void)owner;
  }
  return lists;
}

void note(ThreadLists* thread, int64_t bytes) {
  if (thread != nullptr) thread->note(bytes);
  else report(bytes);
}

Header* plainBlock(size_t bytes, int home) {
  void* memory = nullptr;
  TORCH_CHECK(posix_memalign(&memory, kAlignment, bytes) == 0, "cannot allocate ", bytes, " bytes of memory: the system has no more");
  auto* block = static_cast<Header*>(memory);
  block->bytes = bytes;
  block->home = home;
  return block;
}

Header* smallBlock(ThreadLists* thread, size_t bytes) {
  const int home = classOf(bytes);
  if (thread != nullptr && thread->first[home] != nullptr) {
    Header* block = thread->first[home];
    thread->first[home] = block->next;
    --thread->count[home];
    return block;
  }
  return plainBlock(sizeOfClass(home) + sizeof(Header), home);
}

Header* largeBlock(size_t bytes) {
  const Region region = largeBlocks().take(bytes + sizeof(Header));
  auto* block = reinterpret_cast<Header*>(region.data);
  block->bytes = region.bytes;
  block->home = kLarge;
  return block;
}

void freeBlock(void* data) {
  if (data == nullptr) return;
  Header* block = Header::of(data);
  ThreadLists* thread = threadLists();
  note(thread, -static_cast<int64_t>(block->bytes));
  if (block->home == kLarge) {
    largeBlocks().give({reinterpret_cast<char*>(block), block->bytes});
  } else if (block->home == kPlain || thread == nullptr || (thread->count[block->home] + 1) * block->bytes > kListBytes) {
    std::free(block);
  } else {
    block->next = thread->first[block->home];
    thread->first[block->home] = block;
    ++thread->count[block->home];
  }
}

// libtorch 2.x made `allocate` non-const and added `copy_data`: with both forms here, the base class of each version
// finds its own, so none is marked `override`.
struct TensorAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) const {
    constexpr auto cpu = c10::DeviceType::CPU;
    if (bytes == 0) return {nullptr, nullptr, &freeBlock, c10::Device(cpu)};
    ThreadLists* thread = threadLists();
    Header* block = bytes <= kLargestListed ? smallBlock(thread, bytes)
                    : bytes <= kLargest     ? plainBlock(bytes + sizeof(Header), kPlain)
                                            : largeBlock(bytes);
    note(thread, static_cast<int64_t>(block->bytes));
    return {block->data(), block->data(), &freeBlock, c10::Device(cpu)};
  }
  c10::DataPtr allocate(size_t bytes) { return const_cast<const TensorAllocator*>(this)->allocate(bytes); }
  c10::DeleterFnPtr raw_deleter() const { return &freeBlock; }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }
};

}  // namespace

void installAllocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* choice = std::getenv("HEARTH_ALLOCATOR");
    if (choice != nullptr && std::strcmp(choice, "system") == 0) return;
    c10::SetCPUAllocator(new TensorAllocator(), /*priority=*/1);
    installed = true;
  });
}

MemoryUse memoryUse() {
  if (!installed) return {};
  if (ThreadLists* thread = threadLists()) thread->flush();
  return {allocated.load(), peak.load(), static_cast<int64_t>(largeBlocks().cached())};
}

void resetPeakMemory() {
  if (ThreadLists* thread = threadLists()) thread->flush();
  peak = allocated.load();
}

void setMemoryLimit(size_t bytes) { largeBlocks().setLimit(bytes); }

void releaseCachedMemory() { largeBlocks().clear(); }

}  // namespace hearth
