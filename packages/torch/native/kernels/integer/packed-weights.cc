// hearth::quantise_weight and hearth::dequantise_weight: a weight (outputs, inputs) as 8 or 4 bit integers in groups of 64
// inputs, each with a bfloat16 scale, packed for hearth::linear_integer; and back. 8.25 and 4.25 bits a weight.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/integer/groups.h"
#include "kernels/integer/linear-integer.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

constexpr int64_t kHalf = kGroup / 2;

/** 64 bytes of one output into their places among 16. */
void placeGroup(const uint8_t* bytes, int64_t bits, int64_t output, uint8_t* packed) {
  for (int64_t k = 0; k < kGroup * bits / 8; ++k) {
    const uint8_t byte = bits == 8 ? bytes[k] : static_cast<uint8_t>(bytes[k] | bytes[k + kHalf] << 4);
    packed[(k / kQuad * kOutputs + output) * kQuad + k % kQuad] = byte;
  }
}

int32_t integerAt(const uint8_t* packed, int64_t bits, int64_t output, int64_t k) {
  const int64_t place = bits == 8 ? k : k % kHalf;
  const uint8_t byte = packed[(place / kQuad * kOutputs + output) * kQuad + place % kQuad];
  return bits == 8 ? byte - 128 : ((k < kHalf ? byte : byte >> 4) & 15) - 8;
}

std::tuple<Tensor, Tensor> quantiseWeight(const Tensor& weight, int64_t bits) {
  TORCH_CHECK(weight.dim() == 2 && weight.numel() > 0 && weight.is_floating_point(),
              "hearth::quantise_weight: a weight is (outputs, inputs) of floats, got ", weight.scalar_type(), weight.sizes());
  TORCH_CHECK(bits == 8 || bits == 4, "hearth::quantise_weight: bits must be 8 or 4, got ", bits);
  const int64_t outputs = weight.size(0), inputs = weight.size(1);
  const int64_t blocks = (outputs + kOutputs - 1) / kOutputs, groups = (inputs + kGroup - 1) / kGroup;
  const Tensor packed = at::empty({blocks, groups, bytesOfGroup(bits)}, at::kByte);
  const Tensor scales = at::empty({blocks, groups, kOutputs}, at::kBFloat16);
  const auto quantise = bits == 8 ? groupTable().quantise8 : groupTable().quantise4;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t here = std::min(kOutputs, outputs - block * kOutputs);
      const Tensor rows = weight.narrow(0, block * kOutputs, here).to(at::kCPU, at::kFloat).contiguous();
      for (int64_t group = 0; group < groups; ++group) {
        const int64_t at = block * groups + group, count = std::min(kGroup, inputs - group * kGroup);
        for (int64_t output = 0; output < kOutputs; ++output) {
          float floats[kGroup] = {};
          uint8_t bytes[kGroup];
          if (output < here) std::copy_n(dataOf<float>(rows) + output * inputs + group * kGroup, count, floats);
          dataOf<BFloat16>(scales)[at * kOutputs + output] = quantise(floats, bytes);
          placeGroup(bytes, bits, output, dataOf<uint8_t>(packed) + at * bytesOfGroup(bits));
        }
      }
    }
  });
  return {packed, scales};
}

Tensor dequantiseWeight(const Tensor& packed, const Tensor& scales, int64_t outputs, int64_t inputs, at::ScalarType dtype) {
  const PackedWeight weight = packedWeight(packed, scales, outputs, inputs);
  const Tensor out = at::empty({outputs, inputs}, at::kFloat), units = scales.to(at::kFloat);
  at::parallel_for(0, outputs, kOutputs, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; ++output) {
      for (int64_t k = 0; k < inputs; ++k) {
        const int64_t group = output / kOutputs * weight.groups + k / kGroup, lane = output % kOutputs;
        const int32_t q = integerAt(weight.bytes + group * bytesOfGroup(weight.bits), weight.bits, lane, k % kGroup);
        dataOf<float>(out)[output * inputs + k] = static_cast<float>(q) * dataOf<float>(units)[group * kOutputs + lane];
      }
    }
  });
  return out.to(dtype);
}

}  // namespace

PackedWeight packedWeight(const Tensor& packed, const Tensor& scales, int64_t outputs, int64_t inputs) {
  const int64_t blocks = (outputs + kOutputs - 1) / kOutputs, groups = (inputs + kGroup - 1) / kGroup;
  const bool shaped = packed.dim() == 3 && packed.size(0) == blocks && packed.size(1) == groups && scales.sizes() == at::IntArrayRef({blocks, groups, kOutputs});
  const int64_t bits = shaped && packed.size(2) == bytesOfGroup(4) ? 4 : 8;
  TORCH_CHECK(shaped && outputs > 0 && inputs > 0 && packed.size(2) == bytesOfGroup(bits) && packed.scalar_type() == at::kByte &&
                  scales.scalar_type() == at::kBFloat16 && packed.is_contiguous() && scales.is_contiguous(),
              "a quantised weight of ", outputs, " outputs and ", inputs, " inputs is bytes (", blocks, ", ", groups, ", ", bytesOfGroup(8), " or ",
              bytesOfGroup(4), ") and bfloat16 scales (", blocks, ", ", groups, ", ", kOutputs, "), got ", packed.scalar_type(), packed.sizes(), " and ",
              scales.scalar_type(), scales.sizes());
  return {dataOf<uint8_t>(packed), dataOf<BFloat16>(scales), bits, blocks, groups, outputs};
}

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("quantise_weight(Tensor weight, int bits) -> (Tensor, Tensor)", quantiseWeight);
  library.def("dequantise_weight(Tensor packed, Tensor scales, int outputs, int inputs, ScalarType dtype) -> Tensor", dequantiseWeight);
}

}  // namespace hearth
