// hearth::adamw_ and hearth::adamw_to: one step of AdamW on one tensor, in one pass over memory instead of the seven that
// ATen's operators make, clipping included (gradient_scale). The second form reads one bank of a state file and writes another, past
// the caches, so that it moves no more bytes than the first. Not here: the loop (adamw.simd.cc), moments in bytes
// (adamw-8bit.cc), groups, schedules and the norm to clip by (packages/hearth/src/optim).
// Source: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.
#include "kernels/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

namespace hearth {

AdamwCoefficients adamwCoefficients(double learningRate, double beta1, double beta2, double eps, double weightDecay, int64_t step, double gradientScale) {
  TORCH_CHECK(step >= 1, "hearth::adamw_: step counts from 1, got ", step);
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(step));
  const double correction2 = std::sqrt(1 - std::pow(beta2, static_cast<double>(step)));
  return {
      static_cast<float>(1 - learningRate * weightDecay),
      static_cast<float>(learningRate * correction2 / correction1),
      static_cast<float>(eps * correction2),
      static_cast<float>(gradientScale),
      static_cast<float>(1 - beta1),
      static_cast<float>(beta2),
      static_cast<float>(1 - beta2),
  };
}

namespace {

void checkSizes(const at::Tensor& weight, at::TensorList others) {
  for (const at::Tensor& other : others)
    TORCH_CHECK(other.sizes() == weight.sizes(), "hearth::adamw_: weight, gradient and moments must have one shape, got ", weight.sizes(), " and ", other.sizes());
}

/** The same step in ATen operators, seven passes and one temporary: for other devices and dtypes, and as the oracle. */
void adamwReference(at::Tensor weight, const at::Tensor& gradient, at::Tensor m, at::Tensor v, double learningRate, double beta1, double beta2,
                    double eps, double weightDecay, int64_t step, double gradientScale) {
  checkSizes(weight, {gradient, m, v});
  const at::NoGradGuard noGrad;
  const AdamwCoefficients c = adamwCoefficients(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
  at::Tensor g = gradient.to(m.scalar_type());
  if (gradientScale != 1) g = g * gradientScale;
  m.lerp_(g, 1 - beta1);
  v.mul_(beta2).addcmul_(g, g, 1 - beta2);
  weight.mul_(c.decay).addcdiv_(m, v.sqrt().add_(c.epsilon), -c.stepSize);
}

bool isPlain(const at::Tensor& tensor) { return tensor.scalar_type() == at::kFloat && tensor.is_contiguous() && tensor.device().is_cpu(); }

bool arePlain(at::TensorList tensors) {
  return !referenceWanted() && std::all_of(tensors.begin(), tensors.end(), isPlain);
}

AdamwState stateOf(const at::Tensor& weight, const at::Tensor& m, const at::Tensor& v) {
  return {weight.data_ptr<float>(), m.data_ptr<float>(), v.data_ptr<float>()};
}

void adamwLoop(const AdamwState& in, const at::Tensor& gradient, const AdamwState& out, const AdamwCoefficients& c) {
  // Whole cache lines for each thread, so that what they write past the caches does not meet.
  constexpr int64_t kLine = 16, kGrain = (1 << 14) / kLine;
  const at::Tensor g = gradient.to(at::kFloat).contiguous();
  const float* const gradients = g.data_ptr<float>();
  const int64_t count = g.numel();
  at::parallel_for(0, (count + kLine - 1) / kLine, kGrain,
                   [&](int64_t first, int64_t last) { adamwTable().step(in, gradients, out, first * kLine, std::min(count, last * kLine), c); });
}

void adamwCpu(at::Tensor weight, const at::Tensor& gradient, at::Tensor m, at::Tensor v, double learningRate, double beta1, double beta2,
              double eps, double weightDecay, int64_t step, double gradientScale) {
  checkSizes(weight, {gradient, m, v});
  if (!arePlain({weight, m, v}) || !gradient.device().is_cpu())
    return adamwReference(weight, gradient, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
  const AdamwState state = stateOf(weight, m, v);
  adamwLoop(state, gradient, state, adamwCoefficients(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale));
}

void adamwToReference(at::Tensor weightOut, at::Tensor mOut, at::Tensor vOut, const at::Tensor& weight, const at::Tensor& gradient, const at::Tensor& m,
                      const at::Tensor& v, double learningRate, double beta1, double beta2, double eps, double weightDecay, int64_t step, double gradientScale) {
  const at::NoGradGuard noGrad;
  weightOut.copy_(weight);
  mOut.copy_(m);
  vOut.copy_(v);
  adamwReference(weightOut, gradient, mOut, vOut, learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
}

void adamwToCpu(at::Tensor weightOut, at::Tensor mOut, at::Tensor vOut, const at::Tensor& weight, const at::Tensor& gradient, const at::Tensor& m,
                const at::Tensor& v, double learningRate, double beta1, double beta2, double eps, double weightDecay, int64_t step, double gradientScale) {
  checkSizes(weight, {gradient, m, v, weightOut, mOut, vOut});
  if (!arePlain({weight, m, v, weightOut, mOut, vOut}) || !gradient.device().is_cpu())
    return adamwToReference(weightOut, mOut, vOut, weight, gradient, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
  adamwLoop(stateOf(weight, m, v), gradient, stateOf(weightOut, mOut, vOut), adamwCoefficients(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def(
      "adamw_(Tensor(a!) weight, Tensor gradient, Tensor(b!) m, Tensor(c!) v, float learning_rate, float beta1, float beta2, "
      "float eps, float weight_decay, int step, float gradient_scale=1.) -> ()");
  library.def(
      "adamw_to(Tensor(a!) weight_out, Tensor(b!) m_out, Tensor(c!) v_out, Tensor weight, Tensor gradient, Tensor m, Tensor v, "
      "float learning_rate, float beta1, float beta2, float eps, float weight_decay, int step, float gradient_scale=1.) -> ()");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("adamw_", adamwReference);
  library.impl("adamw_to", adamwToReference);
}
TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("adamw_", adamwCpu);
  library.impl("adamw_to", adamwToCpu);
}

}  // namespace hearth
