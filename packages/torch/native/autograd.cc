// See autograd.h. No JavaScript runs during a backward pass: recomputation (activation checkpointing) is arranged in
// TypeScript around several passes, because on GPUs the engine calls back from threads of its own.
#include "autograd.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <sstream>

namespace hearth {

namespace {

std::string inWords(const at::Tensor& tensor) {
  std::ostringstream text;
  text << nameOf(tensor.scalar_type()) << tensor.sizes() << " on " << tensor.device();
  return text.str();
}

napi_value fromBool(napi_env env, bool value) {
  napi_value result;
  check(napi_get_boolean(env, value, &result));
  return result;
}

/** Upstream gradients; an undefined entry means ones, as for a scalar loss. */
std::vector<at::Tensor> upstreamFrom(napi_env env, Environment& environment, napi_value value) {
  std::vector<at::Tensor> list;
  if (isNothing(env, value)) return list;
  return tensorsFrom(env, environment, value, "gradients");
}

}  // namespace

napi_value setGradEnabled(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(boolFrom(env, arguments[0], "enabled"));
  return fromBool(env, before);
}

napi_value setRequiresGrad(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  tensorAt(env, environmentOf(env), arguments[0], "self").requires_grad_(boolFrom(env, arguments[1], "requiresGrad"));
  return undefinedValue(env);
}

napi_value requiresGrad(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  return fromBool(env, tensorAt(env, environmentOf(env), arguments[0], "self").requires_grad());
}

napi_value gradientOf(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Environment& environment = environmentOf(env);
  at::Tensor gradient = tensorAt(env, environment, arguments[0], "self").grad();
  return gradient.defined() ? toHandle(env, environment, std::move(gradient)) : undefinedValue(env);
}

napi_value setGradient(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  Environment& environment = environmentOf(env);
  const at::Tensor& tensor = tensorAt(env, environment, arguments[0], "self");
  at::Tensor gradient = isNothing(env, arguments[1]) ? at::Tensor() : tensorAt(env, environment, arguments[1], "gradient");
  if (gradient.defined()) {
    // libtorch checks this only for Python; a gradient that does not fit would fail much later, or not at all.
    if (gradient.is_same(tensor)) throw ArgumentError("a tensor cannot be its own gradient");
    if (gradient.sizes() != tensor.sizes() || gradient.scalar_type() != tensor.scalar_type() || gradient.device() != tensor.device())
      throw ArgumentError("a gradient has the shape, dtype and device of its tensor: got " + inWords(gradient) + ", expected " + inWords(tensor));
  }
  tensor.mutable_grad() = std::move(gradient);
  return undefinedValue(env);
}

/** `backward(outputs, gradients | undefined, retainGraph)`. */
napi_value backward(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  Environment& environment = environmentOf(env);
  const auto outputs = tensorsFrom(env, environment, arguments[0], "outputs");
  torch::autograd::backward(outputs, upstreamFrom(env, environment, arguments[1]), boolFrom(env, arguments[2], "retainGraph"));
  return undefinedValue(env);
}

/** `gradients(outputs, inputs, gradients | undefined, retainGraph, createGraph)`; undefined for unused inputs. */
napi_value gradients(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  Environment& environment = environmentOf(env);
  const auto outputs = tensorsFrom(env, environment, arguments[0], "outputs");
  const auto inputs = tensorsFrom(env, environment, arguments[1], "inputs");
  auto results = torch::autograd::grad(outputs, inputs, upstreamFrom(env, environment, arguments[2]), boolFrom(env, arguments[3], "retainGraph"),
                                       boolFrom(env, arguments[4], "createGraph"), /*allow_unused=*/true);
  napi_value array;
  check(napi_create_array_with_length(env, results.size(), &array));
  for (size_t i = 0; i < results.size(); ++i)
    check(napi_set_element(env, array, i, results[i].defined() ? toHandle(env, environment, std::move(results[i])) : undefinedValue(env)));
  return array;
}

}  // namespace hearth
