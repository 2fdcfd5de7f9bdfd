// What JavaScript calls to work in groups; the contract is in src/native.ts.
#pragma once
#include "../convert.h"

namespace hearth {

napi_value hasCollectives(napi_env env, napi_callback_info info);
napi_value joinGroup(napi_env env, napi_callback_info info);
napi_value answerGroup(napi_env env, napi_callback_info info);
napi_value runCollective(napi_env env, napi_callback_info info);
napi_value transferTensor(napi_env env, napi_callback_info info);
napi_value abortGroup(napi_env env, napi_callback_info info);
napi_value leaveGroup(napi_env env, napi_callback_info info);
napi_value releaseGroup(napi_env env, napi_callback_info info);

}  // namespace hearth
