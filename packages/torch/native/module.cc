// The export table of the native module, and nothing else. Its contract in TypeScript is src/native.ts.
#include <dlfcn.h>

#include <atomic>

#include "allocator.h"
#include "autograd.h"
#include "comm/exports.h"
#include "dispatch.h"
#include "errors.h"
#include "runtime.h"
#include "tensor.h"

namespace hearth {

Environment& environmentOf(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

namespace {

napi_value setErrorFactory(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  check(napi_create_reference(env, arguments[0], 1, &environmentOf(env).makeError));
  return undefinedValue(env);
}

napi_value setWarningListener(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Environment& environment = environmentOf(env);
  check(napi_create_reference(env, arguments[0], 1, &environment.warn));
  environment.warnings.listenOnThisThread();
  return undefinedValue(env);
}

template <napi_value (*Function)(napi_env, napi_callback_info)>
napi_property_descriptor entry(const char* name) {
  return {name, nullptr, guarded<Function>, nullptr, nullptr, nullptr, napi_enumerable, nullptr};
}

}  // namespace

/** Node unloads a module when the last worker that loaded it ends; memory of tensors and threads of libtorch live on. */
void stayLoaded() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&stayLoaded), &info) != 0) dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/** Far apart, so that tables of different threads hardly ever give out the same handle. */
uint32_t nextFirstGeneration() {
  static std::atomic<uint32_t> environments{0};
  return 1 + environments++ * 104729u % (1u << 27);
}

napi_value initialise(napi_env env, napi_value exports) {
  stayLoaded();
  installAllocator();
  auto* environment = new Environment(nextFirstGeneration());
  napi_set_instance_data(env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr);
  const napi_property_descriptor table[] = {
      entry<setErrorFactory>("setErrorFactory"),
      entry<setWarningListener>("setWarningListener"),
      entry<bindOperator>("bindOperator"),
      entry<listSchemas>("listSchemas"),
      entry<release>("release"),
      entry<releaseMany>("releaseMany"),
      entry<shapeOf>("shapeOf"),
      entry<dtypeOf>("dtypeOf"),
      entry<deviceOf>("deviceOf"),
      entry<isContiguous>("isContiguous"),
      entry<watch>("watch"),
      entry<share>("share"),
      entry<fromData>("fromData"),
      entry<dataOf>("dataOf"),
      entry<moveTo>("moveTo"),
      entry<item>("item"),
      entry<mapFile>("mapFile"),
      entry<mappedTensor>("mappedTensor"),
      entry<mappedData>("mappedData"),
      entry<unmapFile>("unmapFile"),
      entry<releasePages>("releasePages"),
      entry<setGradEnabled>("setGradEnabled"),
      entry<setRequiresGrad>("setRequiresGrad"),
      entry<requiresGrad>("requiresGrad"),
      entry<gradientOf>("gradientOf"),
      entry<setGradient>("setGradient"),
      entry<backward>("backward"),
      entry<gradients>("gradients"),
      entry<torchVersion>("torchVersion"),
      entry<buildSummary>("buildSummary"),
      entry<cpuFeatures>("cpuFeatures"),
      entry<numThreads>("numThreads"),
      entry<setNumThreads>("setNumThreads"),
      entry<deviceCount>("deviceCount"),
      entry<manualSeed>("manualSeed"),
      entry<createGenerator>("createGenerator"),
      entry<seedGenerator>("seedGenerator"),
      entry<releaseGenerator>("releaseGenerator"),
      entry<unwatch>("unwatch"),
      entry<memoryStats>("memoryStats"),
      entry<resetPeakMemory>("resetPeakMemory"),
      entry<setMemoryLimit>("setMemoryLimit"),
      entry<releaseCachedMemory>("releaseCachedMemory"),
      entry<hasCollectives>("hasCollectives"),
      entry<joinGroup>("joinGroup"),
      entry<answerGroup>("answerGroup"),
      entry<runCollective>("runCollective"),
      entry<transferTensor>("transferTensor"),
      entry<abortGroup>("abortGroup"),
      entry<leaveGroup>("leaveGroup"),
      entry<releaseGroup>("releaseGroup"),
  };
  napi_define_properties(env, exports, sizeof(table) / sizeof(table[0]), table);
  return exports;
}

}  // namespace hearth

NAPI_MODULE_INIT() { return hearth::initialise(env, exports); }
