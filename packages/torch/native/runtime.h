// The process around the tensors: version, threads, devices, random generators, memory.
#pragma once
#include "convert.h"

namespace hearth {

napi_value torchVersion(napi_env env, napi_callback_info info);
napi_value buildSummary(napi_env env, napi_callback_info info);
napi_value cpuFeatures(napi_env env, napi_callback_info info);
napi_value numThreads(napi_env env, napi_callback_info info);
napi_value setNumThreads(napi_env env, napi_callback_info info);
napi_value deviceCount(napi_env env, napi_callback_info info);
napi_value manualSeed(napi_env env, napi_callback_info info);
napi_value createGenerator(napi_env env, napi_callback_info info);
napi_value seedGenerator(napi_env env, napi_callback_info info);
napi_value releaseGenerator(napi_env env, napi_callback_info info);
napi_value memoryStats(napi_env env, napi_callback_info info);
napi_value resetPeakMemory(napi_env env, napi_callback_info info);
napi_value setMemoryLimit(napi_env env, napi_callback_info info);
napi_value releaseCachedMemory(napi_env env, napi_callback_info info);

}  // namespace hearth
