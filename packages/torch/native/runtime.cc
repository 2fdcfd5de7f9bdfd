// See runtime.h.
#include "runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <unordered_set>

#include "allocator.h"

namespace hearth {

napi_value torchVersion(napi_env env, napi_callback_info) { return toString(env, TORCH_VERSION); }

napi_value buildSummary(napi_env env, napi_callback_info) { return toString(env, at::show_config()); }

/** The instruction sets that decide which dtype is fast on this processor. */
napi_value cpuFeatures(napi_env env, napi_callback_info) {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) found.emplace_back("avx2");
  if (__builtin_cpu_supports("avx512f")) found.emplace_back("avx512f");
  if (__builtin_cpu_supports("avx512vnni")) found.emplace_back("avx512vnni");
  if (__builtin_cpu_supports("avx512bf16")) found.emplace_back("avx512bf16");
  // gcc 12 has no name for AMX in __builtin_cpu_supports: CPUID leaf 7, EDX bits 22 and 24, says it.
  unsigned eax = 7, ebx = 0, ecx = 0, edx = 0;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  if (edx & (1u << 22)) found.emplace_back("amx_bf16");
  if (edx & (1u << 25)) found.emplace_back("amx_int8");
#elif defined(__aarch64__)
  found.emplace_back("neon");
#endif
  napi_value array;
  check(napi_create_array_with_length(env, found.size(), &array));
  for (size_t i = 0; i < found.size(); ++i) check(napi_set_element(env, array, i, toString(env, found[i])));
  return array;
}

napi_value numThreads(napi_env env, napi_callback_info) { return toNumber(env, at::get_num_threads()); }

napi_value setNumThreads(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const int64_t threads = integerFrom(env, arguments[0], "threads");
  if (threads < 1 || threads > 1024) throw ArgumentError("threads must be between 1 and 1024, got " + std::to_string(threads));
  at::set_num_threads(static_cast<int>(threads));
  return undefinedValue(env);
}

napi_value deviceCount(napi_env env, napi_callback_info) {
  const bool cuda = at::hasCUDA();
  return toNumber(env, cuda ? at::detail::getCUDAHooks().getNumGPUs() : 0);
}

napi_value manualSeed(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  at::manual_seed(static_cast<uint64_t>(integerFrom(env, arguments[0], "seed")));
  return undefinedValue(env);
}

napi_value createGenerator(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const c10::Device device(stringFrom(env, arguments[0], "device"));
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(static_cast<uint64_t>(integerFrom(env, arguments[1], "seed")));
  return toNumber(env, environmentOf(env).generators.insert(std::move(generator)));
}

napi_value seedGenerator(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  generatorAt(env, environmentOf(env), arguments[0], "generator").set_current_seed(static_cast<uint64_t>(integerFrom(env, arguments[1], "seed")));
  return undefinedValue(env);
}

napi_value releaseGenerator(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  environmentOf(env).generators.release(numberFrom(env, arguments[0], "generator"));
  return undefinedValue(env);
}

/** `[live tensors, bytes of their distinct storages]` of this environment, `[allocated, peak, cached bytes]` of the process. */
napi_value memoryStats(napi_env env, napi_callback_info) {
  Environment& environment = environmentOf(env);
  std::unordered_set<const void*> seen;
  double bytes = 0;
  environment.tensors.forEach([&](const at::Tensor& tensor) {
    if (!tensor.defined() || !tensor.has_storage()) return;
    if (seen.insert(tensor.storage().unsafeGetStorageImpl()).second) bytes += static_cast<double>(tensor.storage().nbytes());
  });
  const MemoryUse use = memoryUse();
  const double figures[] = {static_cast<double>(environment.tensors.live()), bytes, static_cast<double>(use.allocated),
                            static_cast<double>(use.peak), static_cast<double>(use.cached)};
  napi_value result;
  check(napi_create_array_with_length(env, 5, &result));
  for (uint32_t i = 0; i < 5; ++i) check(napi_set_element(env, result, i, toNumber(env, figures[i])));
  return result;
}

napi_value resetPeakMemory(napi_env env, napi_callback_info) {
  resetPeakMemory();
  return undefinedValue(env);
}

/** `setMemoryLimit(bytes)`; negative for none. */
napi_value setMemoryLimit(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const int64_t bytes = integerFrom(env, arguments[0], "bytes");
  setMemoryLimit(bytes < 0 ? SIZE_MAX : static_cast<size_t>(bytes));
  return undefinedValue(env);
}

napi_value releaseCachedMemory(napi_env env, napi_callback_info) {
  releaseCachedMemory();
  return undefinedValue(env);
}

}  // namespace hearth
