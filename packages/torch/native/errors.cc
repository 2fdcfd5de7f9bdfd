// Turns the exception in flight into a JavaScript error; see errors.h.
#include "errors.h"

#include <utility>

namespace hearth {

namespace {

void makeAndThrow(napi_env env, napi_value factory, const char* kind, const std::string& message, const std::string& name) {
  napi_value arguments[3], undefined, error;
  napi_get_undefined(env, &undefined);
  napi_create_string_utf8(env, kind, NAPI_AUTO_LENGTH, &arguments[0]);
  napi_create_string_utf8(env, message.data(), message.size(), &arguments[1]);
  napi_create_string_utf8(env, name.data(), name.size(), &arguments[2]);
  if (napi_call_function(env, undefined, factory, 3, arguments, &error) == napi_ok) napi_throw(env, error);
}

}  // namespace

void throwInJavaScript(napi_env env, const char* kind, const std::string& message, const std::string& operatorName) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) return;
  napi_value factory = nullptr;
  Environment& environment = environmentOf(env);
  if (environment.makeError != nullptr) napi_get_reference_value(env, environment.makeError, &factory);
  if (factory == nullptr) {
    napi_throw_error(env, kind, message.c_str());
    return;
  }
  makeAndThrow(env, factory, kind, message, operatorName);
}

void sayWarnings(napi_env env, Environment& environment) {
  const std::vector<std::string> messages = std::exchange(environment.warnings.pending, {});
  napi_value listener = nullptr, undefined, message, result;
  if (environment.warn == nullptr || napi_get_reference_value(env, environment.warn, &listener) != napi_ok) return;
  napi_get_undefined(env, &undefined);
  for (const std::string& text : messages) {
    napi_create_string_utf8(env, text.data(), text.size(), &message);
    napi_call_function(env, undefined, listener, 1, &message, &result);
  }
}

std::string firstWords(const c10::Error& error) {
  std::string text = error.what_without_backtrace();
  // Backends that rethrow keep a C++ stack inside the text: it helps nobody who calls from TypeScript.
  const size_t stack = text.find("\nException raised from");
  if (stack != std::string::npos) text.resize(stack);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

void rethrowInJavaScript(napi_env env, const std::string& operatorName, const std::string& context) {
  const std::string prefix = operatorName.empty() ? "" : operatorName + ": ";
  try {
    throw;
  } catch (const PendingException&) {
  } catch (const DisposedHandle& error) {
    throwInJavaScript(env, "disposed", prefix + error.what(), operatorName);
  } catch (const ArgumentError& error) {
    throwInJavaScript(env, "argument", prefix + error.what() + context, operatorName);
  } catch (const c10::Error& error) {
    throwInJavaScript(env, "torch", prefix + firstWords(error) + context, operatorName);
  } catch (const std::bad_alloc&) {
    throwInJavaScript(env, "torch", prefix + "out of memory" + context, operatorName);
  } catch (const std::exception& error) {
    throwInJavaScript(env, "torch", prefix + error.what() + context, operatorName);
  } catch (...) {
    throwInJavaScript(env, "torch", prefix + "unknown native failure" + context, operatorName);
  }
}

}  // namespace hearth
