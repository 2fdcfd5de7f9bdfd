// hearth::quantise_base and hearth::dequantise_base: a weight in NF4 with double quantisation, 4.13 bits a weight, or in 8-bit
// integers, 8.25 bits; and back. The codes of NF4 are bitsandbytes', bit for bit, but for the order of one sum (the mean).
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/base/base-weight.h"
#include "kernels/integer/groups.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

/** Rows that are widened at once: whole blocks, whatever the width. */
constexpr int64_t kRows = kBaseBlock;

int64_t dividedUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

/**
 * The 256 values of a scale as a share of the largest: in each of seven decades up to 1 the middles of 1, 2, 4, ... 64 steps from a tenth of it, of
 * both signs, and 0 and 1. (Dettmers, "8-bit Approximations for Parallelism in Deep Learning", 2015; bitsandbytes' dynamic map, in its arithmetic.)
 */
std::array<float, 256> makeScaleValues() {
  std::array<float, 256> values{};
  size_t count = 0;
  for (int decade = 0; decade < 7; ++decade) {
    const int steps = 1 << decade;
    const Tensor edges = at::linspace(0.1, 1, steps + 1, at::kFloat);
    const float* const edge = dataOf<float>(edges);
    for (int i = 0; i < steps; ++i) {
      const float middle = (edge[i] + edge[i + 1]) / 2, unit = static_cast<float>(std::pow(10.0, decade - 6));
      values[count++] = unit * middle;
      values[count++] = -unit * middle;
    }
  }
  values[count++] = 0.0f;
  values[count++] = 1.0f;
  std::sort(values.begin(), values.end());
  return values;
}

const std::array<float, 256>& scaleValues() {
  static const std::array<float, 256> values = makeScaleValues();
  return values;
}

uint8_t nearestScale(float share) {
  const auto& values = scaleValues();
  const auto above = std::lower_bound(values.begin(), values.end(), share);
  if (above == values.begin()) return 0;
  if (above == values.end()) return 255;
  const auto nearest = share - above[-1] <= above[0] - share ? above - 1 : above;
  return static_cast<uint8_t>(nearest - values.begin());
}

/** Block after block of 64 floats, by several threads; the last is filled up with zeros. */
template <typename Work>
void eachBlock(const Tensor& weight, Work work) {
  const int64_t rows = weight.size(0), width = weight.size(1);
  at::parallel_for(0, dividedUp(rows, kRows), 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * kRows, here = std::min(kRows, rows - first);
      const Tensor wide = weight.narrow(0, first, here).to(at::kCPU, at::kFloat).contiguous();
      for (int64_t at = 0; at < here * width; at += kBaseBlock) {
        float floats[kBaseBlock] = {};
        std::copy_n(dataOf<float>(wide) + at, std::min(kBaseBlock, here * width - at), floats);
        work((first * width + at) / kBaseBlock, floats);
      }
    }
  });
}

/** The scales of blocks as codes, and what those are shares of: the mean that was taken off, then one number for every 256. */
std::tuple<Tensor, Tensor> quantiseScales(const Tensor& scales) {
  const int64_t blocks = scales.numel();
  const float* const from = dataOf<float>(scales);
  const Tensor codes = at::empty({blocks}, at::kByte), nested = at::empty({1 + dividedUp(blocks, kNestedBlock)}, at::kFloat);
  double sum = 0;
  for (int64_t i = 0; i < blocks; ++i) sum += from[i];
  const float mean = static_cast<float>(sum / static_cast<double>(blocks));
  dataOf<float>(nested)[0] = mean;
  for (int64_t group = 0; group * kNestedBlock < blocks; ++group) {
    const int64_t first = group * kNestedBlock, last = std::min(blocks, first + kNestedBlock);
    float most = 0;
    for (int64_t i = first; i < last; ++i) most = std::max(most, std::abs(from[i] - mean));
    dataOf<float>(nested)[1 + group] = most;
    for (int64_t i = first; i < last; ++i) dataOf<uint8_t>(codes)[i] = nearestScale(most > 0 ? (from[i] - mean) / most : 0.0f);
  }
  return {codes, nested};
}

ThreeTensors quantiseNormalFloats(const Tensor& weight, int64_t blocks) {
  const Tensor codes = at::empty({dividedUp(weight.numel(), 2)}, at::kByte), scales = at::empty({blocks}, at::kFloat);
  eachBlock(weight, [&](int64_t block, const float* floats) {
    uint8_t bytes[kBaseBlock / 2];
    dataOf<float>(scales)[block] = baseTable().encodeNormalFloats(floats, bytes);
    const int64_t at = block * kBaseBlock / 2;
    std::copy_n(bytes, std::min(kBaseBlock / 2, codes.numel() - at), dataOf<uint8_t>(codes) + at);
  });
  const auto [scaleCodes, nested] = quantiseScales(scales);
  return {codes, scaleCodes, nested};
}

ThreeTensors quantiseIntegers(const Tensor& weight, int64_t blocks) {
  const Tensor codes = at::empty({weight.numel()}, at::kByte), units = at::empty({blocks}, at::kBFloat16);
  eachBlock(weight, [&](int64_t block, const float* floats) {
    uint8_t bytes[kBaseBlock];
    dataOf<BFloat16>(units)[block] = groupTable().quantise8(floats, bytes);
    const int64_t at = block * kBaseBlock;
    std::copy_n(bytes, std::min(kBaseBlock, codes.numel() - at), dataOf<uint8_t>(codes) + at);
  });
  return {codes, units, at::empty({0}, at::kFloat)};
}

ThreeTensors quantiseBase(const Tensor& weight, c10::string_view format) {
  TORCH_CHECK(weight.dim() == 2 && weight.numel() > 0 && weight.is_floating_point(), "hearth::quantise_base: a weight is (outputs, inputs) of floats, got ",
              weight.scalar_type(), weight.sizes());
  TORCH_CHECK(format == "nf4" || format == "int8", "hearth::quantise_base: format must be nf4 or int8, got '", std::string(format), "'");
  const int64_t blocks = dividedUp(weight.numel(), kBaseBlock);
  return format == "nf4" ? quantiseNormalFloats(weight, blocks) : quantiseIntegers(weight, blocks);
}

Tensor dequantiseCpu(const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, int64_t inputs, at::ScalarType dtype) {
  const BaseWeight weight = baseWeight(codes, scales, nested, outputs, inputs);
  if (referenceWanted()) return dequantiseReference(codes, scales, nested, outputs, inputs, dtype);
  const Tensor out = at::empty({outputs, inputs}, at::kFloat);
  at::parallel_for(0, outputs, std::max<int64_t>(1, kElementwiseGrain / inputs), [&](int64_t begin, int64_t end) {
    baseTable().decodeFloats(weight, begin * inputs, (end - begin) * inputs, dataOf<float>(out) + begin * inputs);
  });
  return out.to(dtype);
}

Tensor valuesTensor(const float* values, int64_t count, const Tensor& like) {
  return at::from_blob(const_cast<float*>(values), {count}, at::kFloat).to(like.device(), at::kFloat, false, true);
}

}  // namespace

BaseWeight baseWeight(const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, int64_t inputs) {
  const int64_t weights = outputs * inputs, blocks = dividedUp(weights, kBaseBlock);
  const bool isNormal = scales.scalar_type() == at::kByte;
  const int64_t bytes = isNormal ? dividedUp(weights, 2) : weights, shared = isNormal ? 1 + dividedUp(blocks, kNestedBlock) : 0;
  TORCH_CHECK(outputs > 0 && inputs > 0 && codes.scalar_type() == at::kByte && codes.numel() == bytes && scales.numel() == blocks && nested.numel() == shared &&
                  (isNormal || scales.scalar_type() == at::kBFloat16) && nested.scalar_type() == at::kFloat && codes.is_contiguous() && scales.is_contiguous() &&
                  nested.is_contiguous(),
              "a quantised base of ", outputs, " outputs and ", inputs, " inputs is ", bytes, " uint8, ", blocks, " scales (uint8 or bfloat16) and ", shared,
              " float32, got ", codes.scalar_type(), codes.sizes(), ", ", scales.scalar_type(), scales.sizes(), " and ", nested.scalar_type(), nested.sizes());
  const auto* const first = dataOf<uint8_t>(codes);
  if (!isNormal) return {first, nullptr, nullptr, nullptr, dataOf<BFloat16>(scales)};
  return {first, dataOf<uint8_t>(scales), scaleValues().data(), dataOf<float>(nested), nullptr};
}

Tensor dequantiseReference(const Tensor& codes, const Tensor& scales, const Tensor& nested, int64_t outputs, int64_t inputs, at::ScalarType dtype) {
  baseWeight(codes, scales, nested, outputs, inputs);
  const int64_t weights = outputs * inputs, blocks = scales.numel();
  const bool isNormal = scales.scalar_type() == at::kByte;
  Tensor values, units = scales.to(at::kFloat);
  if (isNormal) {
    const Tensor whole = codes.to(at::kLong), pairs = at::stack({whole.div(16, "floor"), whole.remainder(16)}, 1).reshape({-1});
    values = valuesTensor(kNormalFloats, 16, codes).index_select(0, pairs.narrow(0, 0, weights));
    const Tensor shares = valuesTensor(scaleValues().data(), 256, codes).index_select(0, scales.to(at::kLong));
    units = shares * nested.narrow(0, 1, nested.numel() - 1).repeat_interleave(kNestedBlock).narrow(0, 0, blocks) + nested.narrow(0, 0, 1);
  } else {
    values = codes.to(at::kFloat) - 128;
  }
  const Tensor padded = at::constant_pad_nd(values, {0, blocks * kBaseBlock - weights}).view({blocks, kBaseBlock});
  return (padded * units.unsqueeze(1)).reshape({-1}).narrow(0, 0, weights).view({outputs, inputs}).to(dtype);
}

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def("quantise_base(Tensor weight, str format) -> (Tensor, Tensor, Tensor)", quantiseBase);
  library.def("dequantise_base(Tensor codes, Tensor scales, Tensor nested, int outputs, int inputs, ScalarType dtype) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("dequantise_base", dequantiseReference); }
TORCH_LIBRARY_IMPL(hearth, CPU, library) { library.impl("dequantise_base", dequantiseCpu); }

}  // namespace hearth
