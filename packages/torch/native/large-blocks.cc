// See large-blocks.h.
#include "large-blocks.h"

#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>

#include "machine-memory.h"

namespace hearth {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
/** Looking at the machine's memory costs 0.1 ms: it is done once for this many new bytes. */
constexpr size_t kCheckEvery = size_t{64} << 20;

/** Held beyond the highest use, as its eighth part up to a bound. A training step frees activations while it makes
 * gradients of other sizes: without this room a sixth of its memory was mapped anew in every step, with it nothing. */
constexpr size_t kSlack = 8;
constexpr size_t kMostSlack = size_t{64} << 20;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/** Pages begin on a huge page where there is room for some: one fault then brings 2 MiB, and one TLB entry covers them. */
char* mapPages(size_t bytes) {
  const bool huge = bytes >= 2 * kHugePage;
  const size_t asked = huge ? bytes + kHugePage : bytes;
  void* mapped = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(mapped);
  if (!huge) return start;
  char* aligned = reinterpret_cast<char*>(roundUp(reinterpret_cast<uintptr_t>(start), kHugePage));
  if (aligned > start) munmap(start, aligned - start);
  if (start + asked > aligned + bytes) munmap(aligned + bytes, (start + asked) - (aligned + bytes));
#ifdef MADV_HUGEPAGE
  madvise(aligned, bytes, MADV_HUGEPAGE);
#endif
  return aligned;
}

void unmapAll(const std::vector<Region>& regions) {
  for (const Region& region : regions) munmap(region.data, region.bytes);
}

}  // namespace

Region LargeBlocks::take(size_t bytes) {
  bytes = roundUp(bytes, kPage);
  std::vector<Region> evicted;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    refuseBeyondLimit(bytes);
    const Region found = reuse(bytes);
    if (found.data != nullptr) return found;
    evictFor(bytes, evicted);
  }
  // Giving pages back takes long: other threads need not wait for it.
  unmapAll(evicted);
  refuseBeyondMachine(bytes);
  char* data = mapPages(bytes);
  TORCH_CHECK(data != nullptr, "cannot allocate ", inWords(bytes), " of memory: the system refuses to map it");
  const std::lock_guard<std::mutex> lock(mutex_);
  countLive(bytes);
  return {data, bytes};
}

void LargeBlocks::give(Region region) {
  const std::lock_guard<std::mutex> lock(mutex_);
  live_ -= region.bytes;
  cached_ += region.bytes;
  waiting_.emplace(region.bytes, Waiting{region.data, ++clock_});
}

/** The smallest region that fits, unless more than a fifth of it would lie idle. */
Region LargeBlocks::reuse(size_t bytes) {
  const auto found = waiting_.lower_bound(bytes);
  if (found == waiting_.end() || found->first > bytes + bytes / 4) return {};
  const Region region = remove(found);
  countLive(region.bytes);
  return region;
}

void LargeBlocks::countLive(size_t bytes) {
  live_ += bytes;
  highest_ = std::max(highest_, live_);
}

/** Takes the longest waiting regions out, until the new one fits below the bound. */
void LargeBlocks::evictFor(size_t bytes, std::vector<Region>& evicted) {
  const size_t bound = std::max(highest_ + std::min(highest_ / kSlack, kMostSlack), live_ + bytes);
  while (!waiting_.empty() && live_ + bytes + cached_ > bound) {
    const auto oldest = std::min_element(waiting_.begin(), waiting_.end(),
                                         [](const auto& a, const auto& b) { return a.second.freedAt < b.second.freedAt; });
    evicted.push_back(remove(oldest));
  }
}

Region LargeBlocks::remove(Waitings::iterator waiting) {
  const Region region{waiting->second.data, waiting->first};
  cached_ -= region.bytes;
  waiting_.erase(waiting);
  return region;
}

void LargeBlocks::refuseBeyondLimit(size_t bytes) {
  TORCH_CHECK(bytes <= limit_ && live_ <= limit_ - bytes, "cannot allocate ", inWords(bytes), " of memory: ", inWords(live_),
              " of the limit of ", inWords(limit_), " are in use");
}

/** Linux grants any request and kills a process later, when it touches the pages: an error now is better. */
void LargeBlocks::refuseBeyondMachine(size_t bytes) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    unchecked_ += bytes;
    if (unchecked_ < kCheckEvery) return;
    unchecked_ = 0;
  }
  if (bytes <= availableMemory()) return;
  clear();
  const size_t available = availableMemory();
  TORCH_CHECK(bytes <= available, "cannot allocate ", inWords(bytes), " of memory: this machine has ", inWords(available), " available");
}

void LargeBlocks::clear() {
  std::vector<Region> regions;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!waiting_.empty()) regions.push_back(remove(waiting_.begin()));
  }
  unmapAll(regions);
}

void LargeBlocks::setLimit(size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  limit_ = bytes;
}

size_t LargeBlocks::cached() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return cached_;
}

}  // namespace hearth
