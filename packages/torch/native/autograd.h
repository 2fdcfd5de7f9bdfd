// Autograd for JavaScript: gradient mode, leaves, backward and grad.
#pragma once
#include "convert.h"

namespace hearth {

napi_value setGradEnabled(napi_env env, napi_callback_info info);
napi_value setRequiresGrad(napi_env env, napi_callback_info info);
napi_value requiresGrad(napi_env env, napi_callback_info info);
napi_value gradientOf(napi_env env, napi_callback_info info);
napi_value setGradient(napi_env env, napi_callback_info info);
napi_value backward(napi_env env, napi_callback_info info);
napi_value gradients(napi_env env, napi_callback_info info);

}  // namespace hearth
