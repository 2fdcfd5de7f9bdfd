// hearth::round_stochastically_: float32 to bfloat16, up or down by chance, so that the mean of many roundings is the number
// itself: weights in bfloat16 then learn from updates that are smaller than their steps. The chance of element i is a function
// of (seed, i) alone: Philox4x32-10, counter i / 8, 16 bits each.
// Sources: Gupta et al., "Deep Learning with Limited Numerical Precision", ICML 2015; Salmon et al., "Parallel Random Numbers: As
// Easy as 1, 2, 3", SC 2011.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cstring>

#include "kernels/operands.h"

namespace hearth {

namespace {

using at::Tensor;

/** Numbers that share the bits of one counter. */
constexpr int64_t kShared = 8;

struct Bits {
  uint16_t of[kShared];
};

Bits bitsOf(uint64_t seed, uint64_t counter) {
  uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xd2511f53} * c[0], second = uint64_t{0xcd9e8d57} * c[2];
    const uint32_t next[4] = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(second),
                              static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(first)};
    std::memcpy(c, next, sizeof(c));
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  Bits bits;
  for (int i = 0; i < 4; ++i) {
    bits.of[2 * i] = static_cast<uint16_t>(c[i]);
    bits.of[2 * i + 1] = static_cast<uint16_t>(c[i] >> 16);
  }
  return bits;
}

/** What is cut off is added to by as much as it may be: it carries in as many of 2^16 cases as it counts. */
BFloat16 rounded(float x, uint16_t chance) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};
  if (magnitude == 0x7f800000u) return {static_cast<uint16_t>(bits >> 16)};
  return {static_cast<uint16_t>((bits + chance) >> 16)};
}

void roundStochastically(Tensor out, const Tensor& wide, int64_t seed) {
  TORCH_CHECK(out.sizes() == wide.sizes() && out.scalar_type() == at::kBFloat16 && wide.scalar_type() == at::kFloat,
              "hearth::round_stochastically_: float32 becomes bfloat16 of its shape, got ", wide.scalar_type(), wide.sizes(), " and ", out.scalar_type(), out.sizes());
  const at::NoGradGuard noGrad;
  const Tensor from = wide.to(at::kCPU).contiguous();
  const bool isPlain = out.device().is_cpu() && out.is_contiguous();
  const Tensor to = isPlain ? out : at::empty(out.sizes(), at::kBFloat16);
  const int64_t count = from.numel();
  at::parallel_for(0, (count + kShared - 1) / kShared, kElementwiseGrain / kShared, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const Bits bits = bitsOf(static_cast<uint64_t>(seed), static_cast<uint64_t>(group));
      const int64_t first = group * kShared, here = std::min(kShared, count - first);
      for (int64_t i = 0; i < here; ++i) dataOf<BFloat16>(to)[first + i] = rounded(dataOf<float>(from)[first + i], bits.of[i]);
    }
  });
  if (!isPlain) out.copy_(to);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) { library.def("round_stochastically_(Tensor(a!) out, Tensor wide, int seed) -> ()"); }

// One form for all devices: elsewhere than on a CPU numbers come here and go back.
TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("round_stochastically_", roundStochastically); }

}  // namespace hearth
