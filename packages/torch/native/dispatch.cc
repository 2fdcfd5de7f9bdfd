// The boxed call. An operator is looked up once, its schema is turned into a plan of how to read each argument, and
// every later call converts by that plan, runs the dispatcher and wraps the result. No operator has C++ of its own.
#include "dispatch.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <sstream>
#include "guards.h"

namespace hearth {

namespace {

constexpr size_t kMaxArguments = 24;
/** Tensors of a list that an error names. */
constexpr uint32_t kDescribed = 4;

struct Operator {
  std::string name;
  c10::OperatorHandle handle;
  std::vector<ArgumentPlan> arguments;
  /** In-place and `out=` operators return what they were given: the caller has that handle already. */
  bool returnsItsArgument = false;
  /** What autograd would do for one of libtorch's own operators is known; for others their kernels decide. */
  bool isAten = false;
  /** Among the arguments is a list of tensors. */
  bool takesLists = false;
  Guard guard = nullptr;
};

/**
 * The stack of one call. It is reused between calls: growing a new vector for each would cost more than some operators
 * do. A call made while another one's arguments are read (by a getter of an array) finds none and gets its own.
 */
class CallStack {
 public:
  explicit CallStack(Environment& environment) : environment_(environment) { values.swap(environment.spareStack); }
  ~CallStack() {
    values.clear();
    values.swap(environment_.spareStack);
  }
  CallStack(const CallStack&) = delete;
  CallStack& operator=(const CallStack&) = delete;

  std::vector<c10::IValue> values;

 private:
  Environment& environment_;
};

void describe(std::ostream& text, const at::Tensor* tensor) {
  if (tensor == nullptr) text << "disposed";
  else if (!tensor->defined()) text << "undefined";
  else if (tensor->layout() != c10::kStrided) text << nameOf(tensor->scalar_type()) << " of layout " << tensor->layout();
  else text << nameOf(tensor->scalar_type()) << tensor->sizes();
}

/** `self: float32[2, 3], tensors: [float32[2], int64[1]]`: the tensors of a call that failed, one name an argument. */
std::string describeArguments(napi_env env, Environment& environment, const Operator& op, const napi_value* values, size_t count) {
  std::ostringstream text;
  const auto next = [&](size_t i) -> std::ostream& { return text << (text.tellp() > 0 ? ", " : "\n  arguments: ") << op.arguments[i].name << ": "; };
  for (size_t i = 0; i < op.arguments.size() && i < count; ++i) {
    double handle;
    uint32_t length = 0;
    if (op.arguments[i].kind == Kind::Tensor && napi_get_value_double(env, values[i], &handle) == napi_ok) {
      describe(next(i), environment.tensors.find(handle));
    } else if (op.arguments[i].kind == Kind::TensorList && napi_get_array_length(env, values[i], &length) == napi_ok) {
      next(i) << '[';
      for (uint32_t k = 0; k < std::min(length, kDescribed); ++k) {
        napi_value element;
        if (napi_get_element(env, values[i], k, &element) != napi_ok || napi_get_value_double(env, element, &handle) != napi_ok) break;
        describe(text << (k > 0 ? ", " : ""), environment.tensors.find(handle));
      }
      text << (length > kDescribed ? ", ...]" : "]");
    }
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

void readArguments(napi_env env, Environment& environment, const Operator& op, const napi_value* values, size_t count, std::vector<c10::IValue>& stack) {
  if (count > op.arguments.size())
    throw ArgumentError("takes at most " + std::to_string(op.arguments.size()) + " arguments, got " + std::to_string(count));
  stack.reserve(op.arguments.size());
  for (size_t i = 0; i < op.arguments.size(); ++i) {
    const ArgumentPlan& plan = op.arguments[i];
    if (i < count) pushArgument(env, environment, plan, values[i], stack);
    else if (plan.hasDefault) stack.push_back(plan.defaultValue);
    else if (plan.optional) stack.emplace_back();
    else throw ArgumentError("argument '" + plan.name + "' is required");
  }
}

/** Whether autograd may have anything to record of this call; lists of tensors are not looked through. */
bool mayRecord(const Operator& op, const std::vector<c10::IValue>& stack) {
  if (!op.isAten) return true;
  if (!c10::GradMode::is_enabled()) return false;
  return op.takesLists || std::any_of(stack.begin(), stack.end(), [](const c10::IValue& value) { return value.isTensor() && value.toTensor().requires_grad(); });
}

void run(const Operator& op, std::vector<c10::IValue>& stack) {
  if (op.guard != nullptr) op.guard(stack);
  if (mayRecord(op, stack)) {
    op.handle.callBoxed(&stack);
  } else {
    // Autograd's kernels would find the same, a tenth of a microsecond later. Those that follow views and count writes
    // stay in: they matter to what is recorded later.
    const at::AutoDispatchBelowAutograd below;
    op.handle.callBoxed(&stack);
  }
}

/** `Size`: room for the arguments. Node fills all of it at every call. */
template <size_t Size>
napi_value callOperator(napi_env env, napi_callback_info info) {
  napi_value values[Size];
  size_t count = Size;
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &count, values, nullptr, &data) != napi_ok) return nullptr;
  const Operator& op = *static_cast<const Operator*>(data);
  Environment& environment = environmentOf(env);
  try {
    CallStack stack(environment);
    readArguments(env, environment, op, values, count, stack.values);
    run(op, stack.values);
    napi_value result = wrapResults(env, environment, op, stack.values);
    if (!environment.warnings.pending.empty()) sayWarnings(env, environment);
    return result;
  } catch (...) {
    rethrowInJavaScript(env, op.name, describeArguments(env, environment, op, values, std::min(count, Size)));
    return nullptr;
  }
}

/** Operators live as long as the process: functions made from them may outlive any environment. */
Operator* findOperator(const std::string& name, const std::string& overload) {
  const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle.has_value()) return nullptr;
  auto* op = new Operator{overload.empty() ? name : name + "." + overload, *handle, {}};
  op->isAten = name.rfind("aten::", 0) == 0;
  op->guard = guardOf(op->name);
  const c10::FunctionSchema& schema = handle->schema();
  for (const c10::Argument& argument : schema.arguments()) {
    op->arguments.push_back(planArgument(argument));
    const Kind kind = op->arguments.back().kind;
    if (kind == Kind::TensorList || kind == Kind::OptionalTensorList) op->takesLists = true;
  }
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
  const napi_callback call = op->arguments.size() <= 4 ? callOperator<4> : op->arguments.size() <= 8 ? callOperator<8> : callOperator<kMaxArguments>;
  napi_value function;
  check(napi_create_function(env, op->name.c_str(), op->name.size(), call, op, &function));
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
