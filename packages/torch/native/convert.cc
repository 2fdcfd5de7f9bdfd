// Reading JavaScript values; see convert.h. What is given back is made in results.cc.
#include "convert.h"

#include <c10/core/Device.h>

#include <limits>

namespace hearth {

namespace {

[[noreturn]] void expected(napi_env env, const char* what, const char* kind, napi_value got) {
  static const char* names[] = {"undefined", "null", "a boolean", "a number", "a string", "a symbol", "an object", "a function", "an external", "a bigint"};
  napi_valuetype type = napi_undefined;
  napi_typeof(env, got, &type);
  throw ArgumentError(std::string("argument '") + what + "' must be " + kind + ", got " + names[type]);
}

template <typename F>
void eachElement(napi_env env, napi_value value, const char* what, const char* kind, F&& visit) {
  bool isArray = false;
  check(napi_is_array(env, value, &isArray));
  if (!isArray) expected(env, what, kind, value);
  uint32_t length = 0;
  check(napi_get_array_length(env, value, &length));
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    check(napi_get_element(env, value, i, &element));
    visit(element);
  }
}

at::Scalar scalarFrom(napi_env env, napi_value value, const char* what) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type));
  if (type == napi_boolean) return at::Scalar(boolFrom(env, value, what));
  if (type == napi_bigint) return at::Scalar(integerFrom(env, value, what));
  const double number = numberFrom(env, value, what);
  // JavaScript has one kind of number: whole ones are integers to libtorch, so that int tensors stay int. -0 must stay a float.
  const bool whole = std::abs(number) <= kMaxSafeInteger && number == std::trunc(number) && !(number == 0 && std::signbit(number));
  return whole ? at::Scalar(static_cast<int64_t>(number)) : at::Scalar(number);
}

c10::List<OptionalTensor> optionalTensorsFrom(napi_env env, Environment& environment, napi_value value, const char* what) {
  c10::List<OptionalTensor> list;
  eachElement(env, value, what, "an array of tensors or undefined", [&](napi_value element) {
    if (isNothing(env, element)) list.push_back(OptionalTensor());
    else list.push_back(OptionalTensor(tensorAt(env, environment, element, what)));
  });
  return list;
}

c10::IValue listToIValue(napi_env env, Environment& environment, const ArgumentPlan& plan, napi_value value) {
  const char* what = plan.name.c_str();
  switch (plan.kind) {
    case Kind::TensorList: return c10::IValue(tensorsFrom(env, environment, value, what));
    case Kind::OptionalTensorList: return c10::IValue(optionalTensorsFrom(env, environment, value, what));
    case Kind::FloatList: {
      std::vector<double> list;
      eachElement(env, value, what, "an array of numbers", [&](napi_value e) { list.push_back(numberFrom(env, e, what)); });
      return c10::IValue(list);
    }
    case Kind::BoolList: {
      c10::List<bool> list;
      eachElement(env, value, what, "an array of booleans", [&](napi_value e) { list.push_back(boolFrom(env, e, what)); });
      return c10::IValue(list);
    }
    case Kind::ScalarList: {
      c10::List<at::Scalar> list;
      eachElement(env, value, what, "an array of numbers", [&](napi_value e) { list.push_back(scalarFrom(env, e, what)); });
      return c10::IValue(c10::impl::toList(list));
    }
    default: {
      c10::List<std::string> list;
      eachElement(env, value, what, "an array of strings", [&](napi_value e) { list.push_back(stringFrom(env, e, what)); });
      return c10::IValue(list);
    }
  }
}

c10::IValue integersToIValue(napi_env env, const ArgumentPlan& plan, napi_value value) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type));
  if (type == napi_number && plan.repeat > 0)
    return c10::IValue(std::vector<int64_t>(plan.repeat, integerFrom(env, value, plan.name.c_str())));
  return c10::IValue(integersFrom(env, value, plan.name.c_str()));
}

/** A value of one of libtorch's enumerations, which kernels use unchecked. */
int64_t codeFrom(napi_env env, napi_value value, const char* what, int64_t end) {
  const int64_t code = integerFrom(env, value, what);
  if (code < 0 || code >= end)
    throw ArgumentError(std::string("argument '") + what + "' must be a code from 0 to " + std::to_string(end - 1) + ", got " + std::to_string(code));
  return code;
}

Kind kindOfElement(const c10::TypePtr& type, bool list) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType: return list ? Kind::TensorList : Kind::Tensor;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return list ? Kind::IntList : Kind::Int;
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType: return list ? Kind::FloatList : Kind::Float;
    case c10::TypeKind::BoolType: return list ? Kind::BoolList : Kind::Bool;
    case c10::TypeKind::NumberType: return list ? Kind::ScalarList : Kind::Scalar;
    case c10::TypeKind::StringType: return list ? Kind::StringList : Kind::String;
    case c10::TypeKind::ScalarTypeType: return list ? Kind::Unsupported : Kind::Dtype;
    case c10::TypeKind::LayoutType: return list ? Kind::Unsupported : Kind::Layout;
    case c10::TypeKind::MemoryFormatType: return list ? Kind::Unsupported : Kind::MemoryFormat;
    case c10::TypeKind::DeviceObjType: return list ? Kind::Unsupported : Kind::Device;
    case c10::TypeKind::GeneratorType: return list ? Kind::Unsupported : Kind::Generator;
    case c10::TypeKind::OptionalType:
      if (!list) return Kind::Unsupported;
      return type->castRaw<c10::OptionalType>()->getElementType()->kind() == c10::TypeKind::TensorType ? Kind::OptionalTensorList : Kind::Unsupported;
    default: return Kind::Unsupported;
  }
}

c10::IValue toIValue(napi_env env, Environment& environment, const ArgumentPlan& plan, napi_value value) {
  const char* what = plan.name.c_str();
  switch (plan.kind) {
    case Kind::Tensor: return c10::IValue(tensorAt(env, environment, value, what));
    case Kind::Int: return c10::IValue(integerFrom(env, value, what));
    case Kind::Float: return c10::IValue(numberFrom(env, value, what));
    case Kind::Bool: return c10::IValue(boolFrom(env, value, what));
    case Kind::Scalar: return c10::IValue(scalarFrom(env, value, what));
    case Kind::String: return c10::IValue(stringFrom(env, value, what));
    case Kind::Device: return c10::IValue(c10::Device(stringFrom(env, value, what)));
    case Kind::Generator: return c10::IValue(generatorAt(env, environment, value, what));
    case Kind::Dtype: return c10::IValue(static_cast<int64_t>(dtypeFrom(env, value, what)));
    case Kind::Layout: return c10::IValue(codeFrom(env, value, what, static_cast<int64_t>(c10::Layout::NumOptions)));
    case Kind::MemoryFormat: return c10::IValue(codeFrom(env, value, what, static_cast<int64_t>(c10::MemoryFormat::NumOptions)));
    case Kind::IntList: return integersToIValue(env, plan, value);
    case Kind::Unsupported: throw ArgumentError(std::string("argument '") + what + "' has a type that cannot be given from JavaScript");
    default: return listToIValue(env, environment, plan, value);
  }
}

}  // namespace

ArgumentPlan planArgument(const c10::Argument& argument) {
  ArgumentPlan plan;
  plan.name = argument.name();
  // Not type(), in which dtypes, layouts and memory formats are plain integers.
  c10::TypePtr type = argument.real_type();
  if (auto optional = type->cast<c10::OptionalType>()) {
    plan.optional = true;
    type = optional->getElementType();
  }
  const auto list = type->cast<c10::ListType>();
  plan.kind = list ? kindOfElement(list->getElementType(), true) : kindOfElement(type, false);
  if (list && argument.N().has_value()) plan.repeat = *argument.N();
  if (argument.default_value().has_value()) {
    plan.hasDefault = true;
    plan.defaultValue = *argument.default_value();
  }
  return plan;
}

void pushArgument(napi_env env, Environment& environment, const ArgumentPlan& plan, napi_value value, std::vector<c10::IValue>& stack) {
  if (plan.kind == Kind::Tensor) {
    // The common case first: a handle costs one call into V8.
    double handle;
    if (napi_get_value_double(env, value, &handle) == napi_ok) {
      if (at::Tensor* tensor = environment.tensors.find(handle)) {
        stack.emplace_back(*tensor);
        return;
      }
    }
  }
  if (isNothing(env, value)) {
    if (plan.hasDefault) stack.push_back(plan.defaultValue);
    else if (plan.optional) stack.emplace_back();
    else if (plan.kind == Kind::Tensor) expected(env, plan.name.c_str(), "a Tensor", value);
    else throw ArgumentError("argument '" + plan.name + "' is required");
    return;
  }
  stack.push_back(toIValue(env, environment, plan, value));
}

at::Tensor& tensorAt(napi_env env, Environment& environment, napi_value value, const char* what) {
  double handle;
  if (napi_get_value_double(env, value, &handle) != napi_ok) expected(env, what, "a Tensor", value);
  at::Tensor* tensor = environment.tensors.find(handle);
  if (tensor == nullptr) throw DisposedHandle(std::string("tensor '") + what + "' was disposed");
  return *tensor;
}

at::Generator& generatorAt(napi_env env, Environment& environment, napi_value value, const char* what) {
  at::Generator* generator = environment.generators.find(numberFrom(env, value, what));
  if (generator == nullptr) throw DisposedHandle(std::string("generator '") + what + "' was disposed");
  return *generator;
}

double numberFrom(napi_env env, napi_value value, const char* what) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) expected(env, what, "a number", value);
  return number;
}

int64_t integerFrom(napi_env env, napi_value value, const char* what) {
  int64_t big;
  bool lossless = false;
  if (napi_get_value_bigint_int64(env, value, &big, &lossless) == napi_ok) {
    if (!lossless) throw ArgumentError(std::string("argument '") + what + "' does not fit in 64 bits");
    return big;
  }
  const double number = numberFrom(env, value, what);
  if (!(std::abs(number) <= kMaxSafeInteger) || number != std::trunc(number))
    throw ArgumentError(std::string("argument '") + what + "' must be an integer within ±(2^53 - 1), got " + std::to_string(number));
  return static_cast<int64_t>(number);
}

bool boolFrom(napi_env env, napi_value value, const char* what) {
  bool flag;
  if (napi_get_value_bool(env, value, &flag) != napi_ok) expected(env, what, "a boolean", value);
  return flag;
}

std::string stringFrom(napi_env env, napi_value value, const char* what) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) expected(env, what, "a string", value);
  std::string text(length, '\0');
  check(napi_get_value_string_utf8(env, value, &text[0], length + 1, &length));
  return text;
}

std::vector<int64_t> integersFrom(napi_env env, napi_value value, const char* what) {
  std::vector<int64_t> list;
  eachElement(env, value, what, "an array of integers", [&](napi_value element) { list.push_back(integerFrom(env, element, what)); });
  return list;
}

std::vector<at::Tensor> tensorsFrom(napi_env env, Environment& environment, napi_value value, const char* what) {
  std::vector<at::Tensor> list;
  eachElement(env, value, what, "an array of tensors", [&](napi_value element) { list.push_back(tensorAt(env, environment, element, what)); });
  return list;
}

c10::ScalarType dtypeFrom(napi_env env, napi_value value, const char* what) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type));
  if (type == napi_string) {
    const std::string name = stringFrom(env, value, what);
    for (int code = 0; code < static_cast<int>(c10::ScalarType::Undefined); ++code)
      if (name == nameOf(static_cast<c10::ScalarType>(code))) return static_cast<c10::ScalarType>(code);
    throw ArgumentError(std::string("argument '") + what + "': unknown dtype \"" + name + "\"");
  }
  return static_cast<c10::ScalarType>(codeFrom(env, value, what, static_cast<int64_t>(c10::ScalarType::Undefined)));
}

bool isNothing(napi_env env, napi_value value) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type));
  return type == napi_undefined || type == napi_null;
}

}  // namespace hearth
