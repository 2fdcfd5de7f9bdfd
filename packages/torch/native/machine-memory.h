// How much memory the machine, or the container around this process, has left.
#pragma once
#include <cstddef>
#include <string>

namespace hearth {

/** Bytes that can be used before the system runs out; the largest number where the system does not say. */
size_t availableMemory();

/** `18.6 GiB` */
std::string inWords(size_t bytes);

}  // namespace hearth
