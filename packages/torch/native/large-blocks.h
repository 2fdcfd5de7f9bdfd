// Blocks of 256 KiB and more: mapped from the system, and kept after they are freed, because the next training step asks
// for the same sizes again and fresh pages cost a fault each. Freed blocks are kept only within what was in use at once
// before, and an eighth more up to 64 MiB, so the process hardly grows beyond its own peak by them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace hearth {

struct Region {
  char* data = nullptr;
  size_t bytes = 0;
};

class LargeBlocks {
 public:
  /** A region of at least `bytes`. Throws c10::Error when the machine does not have that much memory left. */
  Region take(size_t bytes);

  void give(Region region);

  /** Unmaps every region that waits. */
  void clear();

  size_t cached();

  /** Requests are refused that would bring the bytes in use above this. */
  void setLimit(size_t bytes);

 private:
  struct Waiting {
    char* data;
    uint64_t freedAt;
  };
  using Waitings = std::multimap<size_t, Waiting>;

  Region reuse(size_t bytes);
  void evictFor(size_t bytes, std::vector<Region>& evicted);
  void refuseBeyondLimit(size_t bytes);
  void refuseBeyondMachine(size_t bytes);
  void countLive(size_t bytes);
  Region remove(Waitings::iterator waiting);

  std::mutex mutex_;
  Waitings waiting_;
  size_t live_ = 0;
  size_t cached_ = 0;
  /** The most that was live at once. */
  size_t highest_ = 0;
  /** Bytes mapped since the machine's memory was last looked at. */
  size_t unchecked_ = 0;
  uint64_t clock_ = 0;
  size_t limit_ = SIZE_MAX;
};

}  // namespace hearth
