// hearth::decode_blocks and hearth::encode_blocks: float32 numbers from and into the block formats of GGUF files.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/blocks/blocks.h"

namespace hearth {

namespace {

using at::Tensor;

constexpr BlockFormat kFormats[] = {
    {"Q4_0", 32, 18, decodeQ4_0, encodeQ4_0},    {"Q4_1", 32, 20, decodeQ4_1, nullptr},      {"Q5_0", 32, 22, decodeQ5_0, nullptr},
    {"Q5_1", 32, 24, decodeQ5_1, nullptr},       {"Q8_0", 32, 34, decodeQ8_0, encodeQ8_0},   {"Q2_K", 256, 84, decodeQ2_K, nullptr},
    {"Q3_K", 256, 110, decodeQ3_K, nullptr},     {"Q4_K", 256, 144, decodeQ4_K, encodeQ4_K}, {"Q5_K", 256, 176, decodeQ5_K, nullptr},
    {"Q6_K", 256, 210, decodeQ6_K, encodeQ6_K}, {"Q8_K", 256, 292, decodeQ8_K, nullptr},
};

/** Blocks that are worth waking another thread for. */
constexpr int64_t kGrain = 64;

const BlockFormat& formatOf(c10::string_view name) {
  const BlockFormat* found = blockFormatNamed({name.data(), name.size()});
  TORCH_CHECK(found != nullptr, "hearth::blocks: there is no format of blocks ", name);
  return *found;
}

Tensor decodeBlocks(const Tensor& blocks, c10::string_view name) {
  const BlockFormat& format = formatOf(name);
  TORCH_CHECK(blocks.scalar_type() == at::kByte && blocks.dim() == 1 && blocks.numel() % format.bytes == 0, "hearth::decode_blocks: blocks must be uint8 (n · ",
              format.bytes, ") for ", name, ", got ", blocks.scalar_type(), " ", blocks.sizes());
  const Tensor from = blocks.contiguous();
  const int64_t count = blocks.numel() / format.bytes;
  const Tensor numbers = at::empty({count * format.elements}, blocks.options().dtype(at::kFloat));
  const auto* bytes = static_cast<const uint8_t*>(from.data_ptr());
  auto* out = static_cast<float*>(numbers.data_ptr());
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) format.decode(bytes + i * format.bytes, out + i * format.elements);
  });
  return numbers;
}

Tensor encodeBlocks(const Tensor& numbers, c10::string_view name) {
  const BlockFormat& format = formatOf(name);
  TORCH_CHECK(format.encode != nullptr, "hearth::encode_blocks: ", name, " is only read");
  TORCH_CHECK(numbers.scalar_type() == at::kFloat && numbers.numel() % format.elements == 0, "hearth::encode_blocks: numbers must be float32, a multiple of ",
              format.elements, " for ", name, ", got ", numbers.scalar_type(), " ", numbers.sizes());
  const Tensor from = numbers.contiguous();
  const int64_t count = numbers.numel() / format.elements;
  const Tensor blocks = at::empty({count * format.bytes}, numbers.options().dtype(at::kByte));
  const auto* values = static_cast<const float*>(from.data_ptr());
  auto* out = static_cast<uint8_t*>(blocks.data_ptr());
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) format.encode(values + i * format.elements, out + i * format.bytes);
  });
  return blocks;
}

}  // namespace

const BlockFormat* blockFormatNamed(std::string_view name) {
  for (const BlockFormat& format : kFormats)
    if (format.name == name) return &format;
  return nullptr;
}

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("decode_blocks(Tensor blocks, str format) -> Tensor");
  library.def("encode_blocks(Tensor numbers, str format) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("decode_blocks", decodeBlocks);
  library.impl("encode_blocks", encodeBlocks);
}

}  // namespace hearth
