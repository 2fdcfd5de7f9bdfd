// hearth::adamw_8bit: one step of AdamW on one tensor whose moments are bytes (simd/byte-codes.h) in blocks of 256, in one pass:
// moments are widened, changed and made bytes again block by block. It moves 16 bytes an element where float32 moments take
// 28, and keeps 2 of them instead of 8. Results may be the operands themselves, which is a step in place.
// Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022, arXiv:2110.02861. Ours differs in this:
// a second moment above 0 never becomes 0, which would let an element whose gradient is 0 once leap by its first moment / eps.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/adamw.h"

namespace hearth {

namespace {

using at::Tensor;

/** What a step reads, and with the same shapes what it writes. */
struct Operands {
  Tensor weight, m, v, mLargest, vLargest;
};

int64_t blocksOf(const Tensor& weight) { return (weight.numel() + kMomentBlock - 1) / kMomentBlock; }

void checkOperands(const Operands& of, const Tensor& weight, const Tensor& gradient) {
  const auto fits = [&](const Tensor& codes, const Tensor& largest) {
    return codes.sizes() == weight.sizes() && codes.scalar_type() == at::kByte && largest.scalar_type() == at::kFloat && largest.dim() == 1 &&
           largest.size(0) == blocksOf(weight);
  };
  TORCH_CHECK(of.weight.sizes() == weight.sizes() && of.weight.scalar_type() == weight.scalar_type() && gradient.sizes() == weight.sizes(),
              "hearth::adamw_8bit: weights and gradient must have one shape, got ", weight.sizes(), ", ", of.weight.sizes(), " and ", gradient.sizes());
  TORCH_CHECK(fits(of.m, of.mLargest) && fits(of.v, of.vLargest), "hearth::adamw_8bit: moments must be uint8 like weight ", weight.sizes(),
              ", with float32 (", blocksOf(weight), ") for their blocks of ", kMomentBlock, ", got ", of.m.scalar_type(), of.m.sizes(), " with ",
              of.mLargest.sizes(), " and ", of.v.scalar_type(), of.v.sizes(), " with ", of.vLargest.sizes());
}

/** The values of codes 0 to 2^digits - 1, rising from 0 to 1. */
std::vector<double> valuesOf(int digits) {
  std::vector<double> values{0};
  for (int decade = 0; decade < digits; ++decade)
    for (int j = 0; j < 1 << decade; ++j) values.push_back(std::pow(10.0, decade + 1 - digits) * (0.1 + 0.9 * (j + 0.5) / (1 << decade)));
  const double top = values.back();
  for (double& value : values) value /= top;
  return values;
}

Tensor tensorOf(const std::vector<double>& values, const at::TensorOptions& options) {
  return at::tensor(values, at::kDouble).to(options.device(), options.dtype().toScalarType());
}

/** In rows of one block each, filled up with zeros. */
Tensor inBlocks(const Tensor& tensor) {
  const Tensor flat = tensor.reshape({-1});
  return at::constant_pad_nd(flat, {0, (kMomentBlock - flat.numel() % kMomentBlock) % kMomentBlock}).view({-1, kMomentBlock});
}

Tensor fromBlocks(const Tensor& blocks, const Tensor& like) { return blocks.reshape({-1}).narrow(0, 0, like.numel()).view(like.sizes()); }

Tensor decoded(const Tensor& codes, const Tensor& largest, const at::TensorOptions& options, bool isSigned) {
  const std::vector<double> magnitudes = valuesOf(isSigned ? 7 : 8);
  std::vector<double> values = magnitudes;
  if (isSigned)
    for (const double value : magnitudes) values.push_back(-value);
  const Tensor blocks = inBlocks(codes).to(at::kLong);
  const Tensor shares = tensorOf(values, options).index_select(0, blocks.reshape({-1})).view(blocks.sizes());
  return fromBlocks(shares * largest.to(shares.scalar_type()).unsqueeze(1), codes);
}

/** Writes the nearest codes of `moment`, and the largest magnitude of each block. */
void encode(const Tensor& moment, const Tensor& codes, const Tensor& largest, bool isSigned) {
  const std::vector<double> values = valuesOf(isSigned ? 7 : 8);
  std::vector<double> between;
  for (size_t i = 1; i < values.size(); ++i) between.push_back(i == 1 && !isSigned ? 0 : (values[i - 1] + values[i]) / 2);
  const Tensor blocks = inBlocks(moment);
  Tensor most = blocks.abs().amax(1).to(at::kFloat);
  most = most.masked_fill(most < std::numeric_limits<float>::min(), 0);
  const Tensor scale = most.to(blocks.scalar_type()).unsqueeze(1);
  const Tensor shares = (blocks / scale).masked_fill(scale == 0, 0);
  const Tensor magnitudes = at::bucketize(shares.abs().contiguous(), tensorOf(between, blocks.options()));
  codes.copy_(fromBlocks(isSigned ? magnitudes + shares.lt(0).to(at::kLong) * 128 : magnitudes, codes));
  largest.copy_(most);
}

void reference(const Operands& in, const Tensor& gradient, const Operands& out, double beta1, double beta2, const AdamwCoefficients& c) {
  const at::NoGradGuard noGrad;
  const auto options = in.weight.options().dtype(in.weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  Tensor g = gradient.to(options.dtype().toScalarType());
  if (c.gradientScale != 1) g = g * c.gradientScale;
  const Tensor m = decoded(in.m, in.mLargest, options, true).lerp_(g, 1 - beta1);
  const Tensor v = decoded(in.v, in.vLargest, options, false).mul_(beta2).addcmul_(g, g, 1 - beta2);
  out.weight.copy_((in.weight * c.decay).addcdiv_(m, v.sqrt().add_(c.epsilon), -c.stepSize));
  encode(m, out.m, out.mLargest, true);
  encode(v, out.v, out.vLargest, false);
}

bool arePlain(const Operands& operands) {
  const auto plain = [](const Tensor& tensor) { return tensor.is_contiguous() && tensor.device().is_cpu(); };
  return operands.weight.scalar_type() == at::kFloat && plain(operands.weight) && plain(operands.m) && plain(operands.v) && plain(operands.mLargest) &&
         plain(operands.vLargest);
}

AdamwByteState stateOf(const Operands& of) {
  return {of.weight.data_ptr<float>(), of.m.data_ptr<uint8_t>(), of.v.data_ptr<uint8_t>(), of.mLargest.data_ptr<float>(), of.vLargest.data_ptr<float>()};
}

void loop(const Operands& in, const Tensor& gradient, const Operands& out, const AdamwCoefficients& c) {
  constexpr int64_t kGrain = (1 << 14) / kMomentBlock;
  const Tensor g = gradient.to(at::kFloat).contiguous();
  const AdamwByteState from = stateOf(in), to = stateOf(out);
  at::parallel_for(0, blocksOf(in.weight), kGrain,
                   [&](int64_t first, int64_t last) { adamwTable().stepOfBytes(from, g.data_ptr<float>(), to, first, last, g.numel(), c); });
}

void adamw8bit(Tensor weightOut, Tensor mOut, Tensor vOut, Tensor mLargestOut, Tensor vLargestOut, const Tensor& weight, const Tensor& gradient,
               const Tensor& m, const Tensor& v, const Tensor& mLargest, const Tensor& vLargest, double learningRate, double beta1, double beta2,
               double eps, double weightDecay, int64_t step, double gradientScale) {
  const Operands in{weight, m, v, mLargest, vLargest}, out{weightOut, mOut, vOut, mLargestOut, vLargestOut};
  checkOperands(in, weight, gradient);
  checkOperands(out, weight, gradient);
  const AdamwCoefficients c = adamwCoefficients(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
  if (referenceWanted() || !arePlain(in) || !arePlain(out) || !gradient.device().is_cpu()) reference(in, gradient, out, beta1, beta2, c);
  else loop(in, gradient, out, c);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def(
      "adamw_8bit(Tensor(a!) weight_out, Tensor(b!) m_out, Tensor(c!) v_out, Tensor(d!) m_largest_out, Tensor(e!) v_largest_out, Tensor weight, "
      "Tensor gradient, Tensor m, Tensor v, Tensor m_largest, Tensor v_largest, float learning_rate, float beta1, float beta2, float eps, "
      "float weight_decay, int step, float gradient_scale=1.) -> ()");
}

// One form for all devices: what our loop cannot read goes through ATen.
TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) { library.impl("adamw_8bit", adamw8bit); }

}  // namespace hearth
