// See tensor.h. Typed arrays made here are views: they keep the tensor's memory alive, and no bytes are copied.
#include "tensor.h"

#include <cstring>

namespace hearth {

namespace {

napi_typedarray_type viewTypeOf(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Float: return napi_float32_array;
    case c10::ScalarType::Double: return napi_float64_array;
    case c10::ScalarType::Char: return napi_int8_array;
    case c10::ScalarType::Short: return napi_int16_array;
    case c10::ScalarType::Int: return napi_int32_array;
    case c10::ScalarType::Long: return napi_bigint64_array;
    case c10::ScalarType::Byte:
    case c10::ScalarType::Bool: return napi_uint8_array;
    case c10::ScalarType::Half:
    case c10::ScalarType::BFloat16: return napi_uint16_array;
    default: throw ArgumentError(std::string("dtype ") + nameOf(dtype) + " has no typed array");
  }
}

/** The bytes of a typed array and the width of one element. */
struct View {
  void* data = nullptr;
  size_t length = 0;
  napi_typedarray_type type = napi_uint8_array;
};

View viewFrom(napi_env env, napi_value value) {
  bool isTyped = false;
  check(napi_is_typedarray(env, value, &isTyped));
  if (!isTyped) throw ArgumentError("argument 'data' must be a typed array");
  View view;
  check(napi_get_typedarray_info(env, value, &view.type, &view.length, &view.data, nullptr, nullptr));
  return view;
}

uint64_t bytesOf(const std::vector<int64_t>& shape, uint64_t elementSize) {
  uint64_t bytes = elementSize;
  for (const int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) throw ArgumentError("the tensor's shape is negative or overflows");
  return bytes;
}

/** Elements that a typed array of Node 20 can have: one more ends the process. */
constexpr size_t kLongestArray = (size_t{1} << 32) - 1;

/** A typed array over memory that `owner` keeps alive until the array is collected. */
template <typename Owner>
napi_value externalArray(napi_env env, napi_typedarray_type type, void* data, size_t length, size_t width, Owner owner) {
  if (length > kLongestArray)
    throw ArgumentError("a typed array has at most 2^32 - 1 elements, got " + std::to_string(length) + "; take it in parts");
  napi_value buffer, array;
  if (length == 0) {
    check(napi_create_arraybuffer(env, 0, nullptr, &buffer));
  } else {
    auto* kept = new Owner(std::move(owner));
    const auto drop = [](napi_env, void*, void* hint) { delete static_cast<Owner*>(hint); };
    if (napi_create_external_arraybuffer(env, data, length * width, drop, kept, &buffer) != napi_ok) {
      delete kept;
      throw PendingException{};
    }
  }
  check(napi_create_typedarray(env, type, length, buffer, 0, &array));
  return array;
}

}  // namespace

napi_value release(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  environmentOf(env).tensors.release(numberFrom(env, arguments[0], "handle"));
  return undefinedValue(env);
}

napi_value releaseMany(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const View view = viewFrom(env, arguments[0]);
  const auto count = static_cast<size_t>(integerFrom(env, arguments[1], "count"));
  if (view.type != napi_float64_array || count > view.length) throw ArgumentError("argument 'handles' must be a Float64Array of at least 'count' numbers");
  Environment& environment = environmentOf(env);
  for (size_t i = 0; i < count; ++i) environment.tensors.release(static_cast<double*>(view.data)[i]);
  return undefinedValue(env);
}

napi_value shapeOf(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const auto sizes = tensorAt(env, environmentOf(env), arguments[0], "self").sizes();
  napi_value array;
  check(napi_create_array_with_length(env, sizes.size(), &array));
  for (size_t i = 0; i < sizes.size(); ++i) check(napi_set_element(env, array, i, toNumber(env, static_cast<double>(sizes[i]))));
  return array;
}

napi_value dtypeOf(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  return toNumber(env, static_cast<double>(tensorAt(env, environmentOf(env), arguments[0], "self").scalar_type()));
}

napi_value deviceOf(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  return toString(env, tensorAt(env, environmentOf(env), arguments[0], "self").device().str());
}

napi_value isContiguous(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  napi_value result;
  check(napi_get_boolean(env, tensorAt(env, environmentOf(env), arguments[0], "self").is_contiguous(), &result));
  return result;
}

/** Tells V8 how much memory hangs on the small object it sees: none on a view, whose memory was told of already. */
napi_value watch(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  const at::Tensor& tensor = tensorAt(env, environmentOf(env), arguments[0], "self");
  // A storage with one owner is nobody's view; to ask the tensor takes longer.
  const bool tells = tensor.has_storage() && (tensor.storage().use_count() == 1 || !tensor.is_view());
  const auto bytes = tells ? static_cast<int64_t>(tensor.storage().nbytes()) : 0;
  int64_t total;
  if (bytes > 0) check(napi_adjust_external_memory(env, bytes, &total));
  return toNumber(env, static_cast<double>(bytes));
}

/** `unwatch(tensor, bytes)`: releases it and takes back what watch() told. */
napi_value unwatch(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const int64_t bytes = integerFrom(env, arguments[1], "bytes");
  environmentOf(env).tensors.release(numberFrom(env, arguments[0], "handle"));
  int64_t total;
  if (bytes > 0) check(napi_adjust_external_memory(env, -bytes, &total));
  return undefinedValue(env);
}

/** A second handle to the same tensor, for an owner of its own. */
napi_value share(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Environment& environment = environmentOf(env);
  at::Tensor tensor = tensorAt(env, environment, arguments[0], "self");
  return toHandle(env, environment, std::move(tensor));
}

/** `fromData(typedArray, shape, dtype)`: one copy, into memory that libtorch owns. */
napi_value fromData(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const std::vector<int64_t> shape = integersFrom(env, arguments[1], "shape");
  const c10::ScalarType dtype = dtypeFrom(env, arguments[2]);
  // Last, because a getter in `shape` may detach the array's memory.
  const View view = viewFrom(env, arguments[0]);
  if (viewTypeOf(dtype) != view.type) throw ArgumentError(std::string("the typed array does not hold elements of dtype ") + nameOf(dtype));
  const uint64_t width = c10::elementSize(dtype), needed = bytesOf(shape, width) / width;
  if (needed != view.length)
    throw ArgumentError("the typed array has " + std::to_string(view.length) + " elements, its shape needs " + std::to_string(needed));
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(dtype));
  if (view.length > 0) std::memcpy(tensor.data_ptr(), view.data, tensor.nbytes());
  return toHandle(env, environmentOf(env), std::move(tensor));
}

/** `dataOf(tensor)`: the tensor's own memory as a typed array. */
napi_value dataOf(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  at::Tensor tensor = tensorAt(env, environmentOf(env), arguments[0], "self");
  if (!tensor.device().is_cpu()) throw ArgumentError("data() needs a tensor in CPU memory, this one is on " + tensor.device().str() + "; call .to({ device: 'cpu' }) first");
  if (!tensor.is_contiguous()) throw ArgumentError("data() needs a contiguous tensor; call .contiguous() first");
  if (tensor.is_conj() || tensor.is_neg()) tensor = tensor.resolve_neg();
  void* data = tensor.data_ptr();
  const auto length = static_cast<size_t>(tensor.numel());
  const size_t width = tensor.element_size();
  const napi_typedarray_type type = viewTypeOf(tensor.scalar_type());
  // The array holds on to the storage, which must then stay where it is: `out=` and resize_ could move it.
  c10::Storage storage = tensor.storage();
  storage.unsafeGetStorageImpl()->set_resizable(false);
  return externalArray(env, type, data, length, width, std::move(storage));
}

/** `moveTo(tensor, device | undefined, dtype | undefined)`: another handle to the same tensor where nothing changes. */
napi_value moveTo(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  Environment& environment = environmentOf(env);
  const at::Tensor& tensor = tensorAt(env, environment, arguments[0], "self");
  const c10::Device device = isNothing(env, arguments[1]) ? tensor.device() : c10::Device(stringFrom(env, arguments[1], "device"));
  const c10::ScalarType dtype = isNothing(env, arguments[2]) ? tensor.scalar_type() : dtypeFrom(env, arguments[2]);
  return toHandle(env, environment, tensor.to(device, dtype));
}

napi_value item(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Environment& environment = environmentOf(env);
  return fromIValue(env, environment, c10::IValue(tensorAt(env, environment, arguments[0], "self").item()));
}

/** `mappedTensor(mapping, offset, shape, dtype)`: a tensor over the file's pages. */
napi_value mappedTensor(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Environment& environment = environmentOf(env);
  const int64_t offset = integerFrom(env, arguments[1], "offset");
  const std::vector<int64_t> shape = integersFrom(env, arguments[2], "shape");
  const c10::ScalarType dtype = dtypeFrom(env, arguments[3]);
  const auto* mapping = environment.mappings.find(numberFrom(env, arguments[0], "mapping"));
  if (mapping == nullptr) throw DisposedHandle("the file was closed");
  const uint64_t bytes = bytesOf(shape, c10::elementSize(dtype));
  const uint64_t size = (*mapping)->size;
  if (offset < 0 || static_cast<uint64_t>(offset) > size || bytes > size - offset) throw ArgumentError("the tensor lies outside the file");
  char* data = (*mapping)->data + offset;
  const auto options = at::TensorOptions().dtype(dtype);
  if (bytes == 0) return toHandle(env, environment, at::empty(shape, options));
  // Kernels read whole elements: a tensor that is not aligned to its elements must be copied out.
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(dtype) != 0) {
    at::Tensor copy = at::empty(shape, options);
    std::memcpy(copy.data_ptr(), data, bytes);
    return toHandle(env, environment, std::move(copy));
  }
  return toHandle(env, environment, at::from_blob(data, shape, [owner = *mapping](void*) {}, options));
}

/** `mappedData(mapping, offset, length)`: the file's pages as a Uint8Array. */
napi_value mappedData(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const auto* mapping = environmentOf(env).mappings.find(numberFrom(env, arguments[0], "mapping"));
  if (mapping == nullptr) throw DisposedHandle("the file was closed");
  const int64_t offset = integerFrom(env, arguments[1], "offset");
  const int64_t length = integerFrom(env, arguments[2], "length");
  const auto size = static_cast<int64_t>((*mapping)->size);
  if (offset < 0 || length < 0 || offset > size || length > size - offset) throw ArgumentError("the range lies outside the file");
  return externalArray(env, napi_uint8_array, (*mapping)->data + offset, static_cast<size_t>(length), 1, std::shared_ptr<Mapping>(*mapping));
}

}  // namespace hearth
