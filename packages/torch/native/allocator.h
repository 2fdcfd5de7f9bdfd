// The memory of CPU tensors. libtorch's own allocator asks the system for each tensor anew: that is a quarter of a small
// operator's time, and a page fault for every 4 KiB of a large one at every step of a training run.
// Small blocks come from lists of the thread, large ones from a bounded cache (large-blocks.h).
#pragma once
#include <cstddef>
#include <cstdint>

namespace hearth {

struct MemoryUse {
  /** Bytes in tensors of the whole process, and the most that they ever were since resetPeakMemory(). */
  int64_t allocated = 0;
  int64_t peak = 0;
  /** Freed bytes that wait to be used again. */
  int64_t cached = 0;
};

/** Puts the allocator in the place of libtorch's, once a process; HEARTH_ALLOCATOR=system leaves that as it is. */
void installAllocator();

/** All zero when the allocator is not installed. Threads report what they did in small blocks 64 KiB late. */
MemoryUse memoryUse();

void resetPeakMemory();

/** Requests are refused that would bring tensors of 256 KiB and more above this many bytes together. */
void setMemoryLimit(size_t bytes);

/** Gives the cache of large blocks back to the system. */
void releaseCachedMemory();

}  // namespace hearth
