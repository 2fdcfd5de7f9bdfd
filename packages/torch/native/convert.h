// JavaScript values to and from C++ and IValue. The operator's own schema decides how each argument is read.
// Not here: calling the operator (dispatch.cc).
#pragma once
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <torch/version.h>

#include <string>
#include <vector>

#include "environment.h"
#include "errors.h"

namespace hearth {

// libtorch 2.x moved from its own optional to the standard one.
#if TORCH_VERSION_MAJOR >= 2
using OptionalTensor = std::optional<at::Tensor>;
#else
using OptionalTensor = c10::optional<at::Tensor>;
#endif

/** The largest integer below which JavaScript's numbers hold every integer. */
constexpr double kMaxSafeInteger = 9007199254740991.0;

/** How one schema argument is read; computed once when the operator is bound. */
enum class Kind : uint8_t {
  Tensor, Int, Float, Bool, Scalar, String, Device, Generator, Dtype, Layout, MemoryFormat,
  TensorList, OptionalTensorList, IntList, FloatList, BoolList, ScalarList, StringList, Unsupported,
};

struct ArgumentPlan {
  std::string name;
  Kind kind = Kind::Unsupported;
  bool optional = false;
  bool hasDefault = false;
  /** `int[2]` also accepts one number, repeated this many times; 0 when it does not. */
  int32_t repeat = 0;
  c10::IValue defaultValue;
};

ArgumentPlan planArgument(const c10::Argument& argument);

inline void check(napi_status status) {
  if (status != napi_ok) throw PendingException{};
}

/** Reads argument `plan` from a JavaScript value onto the stack; throws ArgumentError or DisposedHandle naming it. */
void pushArgument(napi_env env, Environment& environment, const ArgumentPlan& plan, napi_value value, std::vector<c10::IValue>& stack);

/** Wraps an operator's result: a tensor becomes a handle, lists become arrays. */
napi_value fromIValue(napi_env env, Environment& environment, c10::IValue value);

at::Tensor& tensorAt(napi_env env, Environment& environment, napi_value value, const char* what);
at::Generator& generatorAt(napi_env env, Environment& environment, napi_value value, const char* what);
double numberFrom(napi_env env, napi_value value, const char* what);
int64_t integerFrom(napi_env env, napi_value value, const char* what);
bool boolFrom(napi_env env, napi_value value, const char* what);
std::string stringFrom(napi_env env, napi_value value, const char* what);
std::vector<int64_t> integersFrom(napi_env env, napi_value value, const char* what);
std::vector<at::Tensor> tensorsFrom(napi_env env, Environment& environment, napi_value value, const char* what);
/** By its code in c10, or by its name here. */
c10::ScalarType dtypeFrom(napi_env env, napi_value value, const char* what = "dtype");
/** A dtype's name in TypeScript; libtorch's own for those that have none there. */
const char* nameOf(c10::ScalarType dtype);
bool isNothing(napi_env env, napi_value value);

napi_value toNumber(napi_env env, double value);
napi_value toString(napi_env env, const std::string& value);
napi_value toHandle(napi_env env, Environment& environment, at::Tensor tensor);
napi_value undefinedValue(napi_env env);

/** The arguments of a call; missing ones are undefined. */
template <size_t N>
struct Arguments {
  napi_value values[N];
  size_t count = N;
  void* data = nullptr;
  Arguments(napi_env env, napi_callback_info info) { check(napi_get_cb_info(env, info, &count, values, nullptr, &data)); }
  napi_value operator[](size_t index) const { return values[index]; }
};

}  // namespace hearth
