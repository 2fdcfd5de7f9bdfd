// See exports.h: arguments are read and checked here, on the JavaScript thread.
#include "exports.h"

#include "group.h"

namespace hearth {

namespace {

Group& groupAt(napi_env env, napi_value value) {
  auto* group = environmentOf(env).groups.find(numberFrom(env, value, "group"));
  if (group == nullptr) throw ArgumentError("the group was left");
  return **group;
}

Reduction reductionFrom(const std::string& name) {
  if (name == "min") return Reduction::Min;
  if (name == "max") return Reduction::Max;
  if (name == "sum") return Reduction::Sum;
  throw ArgumentError("unknown reduction " + name + "; expected sum, min or max");
}

}  // namespace

napi_value hasCollectives(napi_env env, napi_callback_info) {
  napi_value result;
  check(napi_get_boolean(env, hasGloo(), &result));
  return result;
}

/** `joinGroup(ask, rank, size, timeoutMs, address)` → `[group, promise]`. */
napi_value joinGroup(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  MeshOptions options;
  options.rank = static_cast<int>(integerFrom(env, arguments[1], "rank"));
  options.size = static_cast<int>(integerFrom(env, arguments[2], "size"));
  options.timeout = std::chrono::milliseconds(integerFrom(env, arguments[3], "timeoutMs"));
  options.address = stringFrom(env, arguments[4], "address");
  auto group = std::make_shared<Group>(env, arguments[0], options);
  napi_value result, promise = group->join(env);
  check(napi_create_array_with_length(env, 2, &result));
  check(napi_set_element(env, result, 0, toNumber(env, environmentOf(env).groups.insert(std::move(group)))));
  check(napi_set_element(env, result, 1, promise));
  return result;
}

/** `answerGroup(group, id, value | undefined, error)`; an answer to a group that is gone is dropped. */
napi_value answerGroup(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  auto* group = environmentOf(env).groups.find(numberFrom(env, arguments[0], "group"));
  if (group == nullptr) return undefinedValue(env);
  std::vector<uint8_t> value;
  if (!isNothing(env, arguments[2])) {
    void* data = nullptr;
    size_t length = 0;
    napi_typedarray_type type;
    check(napi_get_typedarray_info(env, arguments[2], &type, &length, &data, nullptr, nullptr));
    if (type != napi_uint8_array) throw ArgumentError("argument 'value' must be a Uint8Array");
    const auto* bytes = static_cast<const uint8_t*>(data);
    value.assign(bytes, bytes + length);
  }
  (*group)->answer(integerFrom(env, arguments[1], "id"), std::move(value), stringFrom(env, arguments[3], "error"));
  return undefinedValue(env);
}

/** `runCollective(group, operation, tensor | undefined, root, reduction)` → a promise of the tensors it makes. */
napi_value runCollective(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  Group& group = groupAt(env, arguments[0]);
  Call call;
  call.operation = stringFrom(env, arguments[1], "operation");
  if (!isNothing(env, arguments[2])) call.tensor = tensorAt(env, environmentOf(env), arguments[2], "tensor");
  call.root = static_cast<int>(integerFrom(env, arguments[3], "root"));
  call.reduction = reductionFrom(stringFrom(env, arguments[4], "reduction"));
  checkCall(call, group.place());
  return group.run(env, std::move(call));
}

/** `transferTensor(group, tensor, peer, sends)` → a promise. */
napi_value transferTensor(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Group& group = groupAt(env, arguments[0]);
  const bool sends = boolFrom(env, arguments[3], "sends");
  Call call{sends ? "send" : "receive", tensorAt(env, environmentOf(env), arguments[1], "tensor")};
  checkCall(call, group.place());
  return group.transfer(env, call.tensor.detach(), static_cast<int>(integerFrom(env, arguments[2], "peer")), sends);
}

/** `abortGroup(group, reason)` */
napi_value abortGroup(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  groupAt(env, arguments[0]).abort(stringFrom(env, arguments[1], "reason"));
  return undefinedValue(env);
}

/** `leaveGroup(group)` → a promise. */
napi_value leaveGroup(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  return groupAt(env, arguments[0]).leave(env);
}

/** Frees a group; one that was not left is aborted. */
napi_value releaseGroup(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  environmentOf(env).groups.release(numberFrom(env, arguments[0], "group"));
  return undefinedValue(env);
}

}  // namespace hearth
