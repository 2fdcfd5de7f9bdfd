// The boxed call. An operator is looked up once, its schema is turned into a plan of how to read each argument, and
// every later call converts by that plan, runs the dispatcher and wraps the result. No operator has C++ of its own.
#include "dispatch.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <sstream>
#include <unordered_map>

namespace hearth {

namespace {

constexpr size_t kMaxArguments = 24;

struct Operator {
  std::string name;
  c10::OperatorHandle handle;
  std::vector<ArgumentPlan> arguments;
  /** In-place and `out=` operators return what they were given: the caller has that handle already. */
  bool returnsItsArgument = false;
};

/** `self: float32[2, 3]` for each tensor of a call that failed. */
std::string describeArguments(napi_env env, Environment& environment, const Operator& op, const napi_value* values, size_t count) {
  std::ostringstream text;
  for (size_t i = 0; i < op.arguments.size() && i < count; ++i) {
    double handle;
    if (op.arguments[i].kind != Kind::Tensor || napi_get_value_double(env, values[i], &handle) != napi_ok) continue;
    const at::Tensor* tensor = environment.tensors.find(handle);
    if (tensor == nullptr || !tensor->defined()) continue;
    text << (text.tellp() > 0 ? ", " : "\n  arguments: ") << op.arguments[i].name << ": " << c10::toString(tensor->scalar_type()) << tensor->sizes();
  }
  return text.str();
}

napi_value wrapResults(napi_env env, Environment& environment, const Operator& op, std::vector<c10::IValue>& stack) {
  if (op.returnsItsArgument || stack.empty()) return undefinedValue(env);
  if (stack.size() == 1) return fromIValue(env, environment, std::move(stack[0]));
  napi_value array;
  check(napi_create_array_with_length(env, stack.size(), &array));
  for (size_t i = 0; i < stack.size(); ++i) check(napi_set_element(env, array, i, fromIValue(env, environment, std::move(stack[i]))));
  return array;
}

napi_value callOperator(napi_env env, napi_callback_info info) {
  napi_value values[kMaxArguments];
  size_t count = kMaxArguments;
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &count, values, nullptr, &data) != napi_ok) return nullptr;
  const Operator& op = *static_cast<const Operator*>(data);
  Environment& environment = environmentOf(env);
  // Reused between calls: growing a new vector for each call would cost more than some operators do.
  static thread_local std::vector<c10::IValue> stack;
  stack.clear();
  try {
    if (count > op.arguments.size())
      throw ArgumentError("takes at most " + std::to_string(op.arguments.size()) + " arguments, got " + std::to_string(count));
    for (size_t i = 0; i < op.arguments.size(); ++i) {
      if (i < count) {
        stack.push_back(toIValue(env, environment, op.arguments[i], values[i]));
      } else if (op.arguments[i].hasDefault) {
        stack.push_back(op.arguments[i].defaultValue);
      } else if (op.arguments[i].optional) {
        stack.emplace_back();
      } else {
        throw ArgumentError("argument '" + op.arguments[i].name + "' is required");
      }
    }
    op.handle.callBoxed(&stack);
    napi_value result = wrapResults(env, environment, op, stack);
    stack.clear();
    return result;
  } catch (...) {
    const std::string context = describeArguments(env, environment, op, values, count);
    stack.clear();
    rethrowInJavaScript(env, op.name, context);
    return nullptr;
  }
}

/** Operators live as long as the process: functions made from them may outlive any environment. */
Operator* findOperator(const std::string& name, const std::string& overload) {
  const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle.has_value()) return nullptr;
  auto* op = new Operator{overload.empty() ? name : name + "." + overload, *handle, {}, false};
  const c10::FunctionSchema& schema = handle->schema();
  for (const c10::Argument& argument : schema.arguments()) op->arguments.push_back(planArgument(argument));
  for (const c10::Argument& result : schema.returns())
    if (result.alias_info() != nullptr && result.alias_info()->isWrite()) op->returnsItsArgument = true;
  return op;
}

}  // namespace

napi_value bindOperator(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const std::string name = stringFrom(env, arguments[0], "name");
  const std::string overload = stringFrom(env, arguments[1], "overload");
  Operator* op = findOperator(name, overload);
  if (op == nullptr) return undefinedValue(env);
  if (op->arguments.size() > kMaxArguments) throw ArgumentError(name + " has more arguments than a call can carry");
  napi_value function;
  check(napi_create_function(env, op->name.c_str(), op->name.size(), callOperator, op, &function));
  return function;
}

napi_value listSchemas(napi_env env, napi_callback_info) {
  napi_value array;
  check(napi_create_array(env, &array));
  uint32_t index = 0;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto handle = c10::Dispatcher::singleton().findSchema(name);
    if (!handle.has_value()) continue;
    std::ostringstream text;
    text << handle->schema();
    check(napi_set_element(env, array, index++, toString(env, text.str())));
  }
  return array;
}

}  // namespace hearth
