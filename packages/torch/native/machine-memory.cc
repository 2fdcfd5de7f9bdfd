// See machine-memory.h. Linux only: elsewhere nothing is known and nothing is refused.
#include "machine-memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>

namespace hearth {

namespace {

constexpr size_t kUnknown = std::numeric_limits<size_t>::max();

/** The number behind `key` in a file of `key value` lines. */
size_t field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  size_t value;
  while (file >> word)
    if (word == key) return file >> value ? value : kUnknown;
  return kUnknown;
}

size_t number(const std::string& path) {
  std::ifstream file(path);
  size_t value;
  return file >> value ? value : kUnknown;
}

/** This process's folder in a hierarchy of control groups: version 2 has no name, version 1 is called `memory`. */
std::string groupOf(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    if (line.substr(first + 1, second - first - 1) == controller) return line.substr(second + 1);
  }
  return "";
}

/** What a group's limit leaves: its pages of files can be dropped, so they do not count. */
size_t leftIn(const std::string& folder, const char* limitFile, const char* usedFile, const char* droppable) {
  const size_t limit = number(folder + limitFile), used = number(folder + usedFile);
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  const size_t cache = field(folder + "memory.stat", droppable);
  const size_t held = used - std::min(used, cache == kUnknown ? 0 : cache);
  return limit - std::min(limit, held);
}

size_t leftInGroup() {
  size_t left = kUnknown;
  // Inside a container the group's path may be that of the host, while its files lie at the root.
  for (const std::string& path : {groupOf(""), std::string()})
    left = std::min(left, leftIn("/sys/fs/cgroup" + path + "/", "memory.max", "memory.current", "inactive_file"));
  for (const std::string& path : {groupOf("memory"), std::string()})
    left = std::min(left, leftIn("/sys/fs/cgroup/memory" + path + "/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"));
  return left;
}

}  // namespace

size_t availableMemory() {
  const size_t free = field("/proc/meminfo", "MemAvailable:"), swap = field("/proc/meminfo", "SwapFree:");
  if (free == kUnknown) return kUnknown;
  return std::min((free + (swap == kUnknown ? 0 : swap)) * 1024, leftInGroup());
}

std::string inWords(size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1u << 30));
  return text;
}

}  // namespace hearth
