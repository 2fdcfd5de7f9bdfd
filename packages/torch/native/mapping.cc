// Memory-mapped files. Pages are private, so that writing to a mapped tensor never reaches the file, or shared with every
// process that maps the same file: that is how workers see one state.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor.h"

namespace hearth {

Mapping::~Mapping() {
  if (data != nullptr) munmap(data, size);
}

/** `mapFile(path, shared)` → `[mapping, size]`. */
napi_value mapFile(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const std::string path = stringFrom(env, arguments[0], "path");
  const bool shared = boolFrom(env, arguments[1], "shared");
  const int file = open(path.c_str(), (shared ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) throw ArgumentError("cannot map " + path + ": " + std::strerror(errno));
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file);
    throw ArgumentError("cannot map " + path + ": not a regular file");
  }
  auto mapping = std::make_shared<Mapping>();
  mapping->size = static_cast<size_t>(status.st_size);
  if (mapping->size > 0) {
    void* data = mmap(nullptr, mapping->size, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE, file, 0);
    if (data != MAP_FAILED) mapping->data = static_cast<char*>(data);
  }
  close(file);
  if (mapping->size > 0 && mapping->data == nullptr) throw ArgumentError("cannot map " + path + ": " + std::strerror(errno));
  napi_value result;
  const auto size = static_cast<double>(mapping->size);
  check(napi_create_array_with_length(env, 2, &result));
  check(napi_set_element(env, result, 0, toNumber(env, environmentOf(env).mappings.insert(std::move(mapping)))));
  check(napi_set_element(env, result, 1, toNumber(env, size)));
  return result;
}

/** Tensors and arrays over the file keep it mapped; this only gives up JavaScript's own hold. */
napi_value unmapFile(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  environmentOf(env).mappings.release(numberFrom(env, arguments[0], "mapping"));
  return undefinedValue(env);
}

/** Pages that were only read come back from the file when they are touched again. */
napi_value releasePages(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const auto* mapping = environmentOf(env).mappings.find(numberFrom(env, arguments[0], "mapping"));
  if (mapping == nullptr) throw ArgumentError("the file was closed");
  if ((*mapping)->size > 0) madvise((*mapping)->data, (*mapping)->size, MADV_DONTNEED);
  return undefinedValue(env);
}

}  // namespace hearth
