// What JavaScript gets back: handles, numbers, texts, arrays; see convert.h.
#include "convert.h"

namespace hearth {

napi_value fromIValue(napi_env env, Environment& environment, c10::IValue value) {
  napi_value result;
  if (value.isTensor()) {
    at::Tensor tensor = std::move(value).toTensor();
    return tensor.defined() ? toHandle(env, environment, std::move(tensor)) : undefinedValue(env);
  }
  if (value.isNone()) return undefinedValue(env);
  if (value.isBool()) {
    check(napi_get_boolean(env, value.toBool(), &result));
    return result;
  }
  if (value.isInt()) {
    const int64_t number = value.toInt();
    if (std::abs(static_cast<double>(number)) <= kMaxSafeInteger) return toNumber(env, static_cast<double>(number));
    check(napi_create_bigint_int64(env, number, &result));
    return result;
  }
  if (value.isDouble()) return toNumber(env, value.toDouble());
  if (value.isString()) return toString(env, value.toStringRef());
  if (value.isScalar()) return fromIValue(env, environment, c10::IValue(value.toScalar()));
  if (value.isList()) {
    const auto list = value.toListRef();
    check(napi_create_array_with_length(env, list.size(), &result));
    for (size_t i = 0; i < list.size(); ++i) check(napi_set_element(env, result, i, fromIValue(env, environment, list[i])));
    return result;
  }
  throw ArgumentError("result of type " + value.tagKind() + " cannot be given to JavaScript");
}

const char* nameOf(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Byte: return "uint8";
    case c10::ScalarType::Char: return "int8";
    case c10::ScalarType::Short: return "int16";
    case c10::ScalarType::Int: return "int32";
    case c10::ScalarType::Long: return "int64";
    case c10::ScalarType::Half: return "float16";
    case c10::ScalarType::Float: return "float32";
    case c10::ScalarType::Double: return "float64";
    case c10::ScalarType::Bool: return "bool";
    case c10::ScalarType::BFloat16: return "bfloat16";
    default: return c10::toString(dtype);
  }
}

napi_value toNumber(napi_env env, double value) {
  napi_value result;
  check(napi_create_double(env, value, &result));
  return result;
}

napi_value toString(napi_env env, const std::string& value) {
  napi_value result;
  check(napi_create_string_utf8(env, value.data(), value.size(), &result));
  return result;
}

napi_value toHandle(napi_env env, Environment& environment, at::Tensor tensor) {
  return toNumber(env, environment.tensors.insert(std::move(tensor)));
}

napi_value undefinedValue(napi_env env) {
  napi_value result;
  check(napi_get_undefined(env, &result));
  return result;
}

}  // namespace hearth
