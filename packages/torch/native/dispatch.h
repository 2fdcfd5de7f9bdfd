// Operators as JavaScript functions: one boxed call for all of ATen and for Hearth's own kernels.
#pragma once
#include "convert.h"

namespace hearth {

/** `bind(name, overload)` → a JavaScript function that calls that operator. */
napi_value bindOperator(napi_env env, napi_callback_info info);

/** `schemas()` → the schema of every operator of the loaded library, as text. */
napi_value listSchemas(napi_env env, napi_callback_info info);

}  // namespace hearth
