// The wall between C++ exceptions and JavaScript: every exported function is wrapped in `guarded`, so nothing thrown
// by libtorch can cross the C boundary. The text of errors is made here; their classes live in TypeScript.
#pragma once
#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "environment.h"

namespace hearth {

/** A wrong argument from JavaScript, found before libtorch saw it. */
struct ArgumentError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** A handle that was disposed, or never given out. */
struct DisposedHandle : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** A Node-API call failed: a JavaScript exception is already pending. */
struct PendingException {};

/** Throws the error that TypeScript's factory makes of (kind, message, operator) in JavaScript. */
void throwInJavaScript(napi_env env, const char* kind, const std::string& message, const std::string& operatorName);

/** libtorch's message without its C++ stack: the part a person can act on. */
std::string firstWords(const c10::Error& error);

/** Throws the C++ exception in flight as a JavaScript one, with `context` (an operator's arguments) appended. */
void rethrowInJavaScript(napi_env env, const std::string& operatorName, const std::string& context);

/** Hands the warnings of this thread to JavaScript. */
void sayWarnings(napi_env env, Environment& environment);

template <napi_value (*Function)(napi_env, napi_callback_info)>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    napi_value result = Function(env, info);
    Environment& environment = environmentOf(env);
    if (!environment.warnings.pending.empty()) sayWarnings(env, environment);
    return result;
  } catch (...) {
    rethrowInJavaScript(env, "", "");
    return nullptr;
  }
}

}  // namespace hearth
