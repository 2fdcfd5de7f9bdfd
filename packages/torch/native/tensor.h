// Tensors as JavaScript sees them: what they are, their memory as typed arrays, memory-mapped files, lifetime.
// Not here: operators (dispatch.cc) and autograd (autograd.cc).
#pragma once
#include "convert.h"

namespace hearth {

napi_value release(napi_env env, napi_callback_info info);
napi_value releaseMany(napi_env env, napi_callback_info info);
napi_value shapeOf(napi_env env, napi_callback_info info);
napi_value dtypeOf(napi_env env, napi_callback_info info);
napi_value deviceOf(napi_env env, napi_callback_info info);
napi_value isContiguous(napi_env env, napi_callback_info info);
napi_value watch(napi_env env, napi_callback_info info);
napi_value unwatch(napi_env env, napi_callback_info info);
napi_value share(napi_env env, napi_callback_info info);
napi_value fromData(napi_env env, napi_callback_info info);
napi_value dataOf(napi_env env, napi_callback_info info);
napi_value moveTo(napi_env env, napi_callback_info info);
napi_value item(napi_env env, napi_callback_info info);

napi_value mapFile(napi_env env, napi_callback_info info);
napi_value mappedTensor(napi_env env, napi_callback_info info);
napi_value mappedData(napi_env env, napi_callback_info info);
napi_value unmapFile(napi_env env, napi_callback_info info);
napi_value releasePages(napi_env env, napi_callback_info info);

}  // namespace hearth
