// hearth::adamw_ and hearth::adamw_to: one step of AdamW on one tensor, in one pass over memory instead of the seven that
// ATen's operators make. The step is bound by memory: this takes a third of their time. The second form reads one bank of
// a state file and writes another, past the caches, so that it moves no more bytes than the first. Not here: groups, schedules and clipping
// (packages/hearth/src/optim).
// Source: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/simd/forms.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace hearth {

namespace {

/** What the loop needs, worked out once in double precision. */
struct AdamwCoefficients {
  float decay;           // 1 - learning rate * weight decay
  float stepSize;        // learning rate * sqrt(1 - beta2^t) / (1 - beta1^t)
  float epsilon;         // eps * sqrt(1 - beta2^t): the correction of v moved out of the loop
  float gradientScale;   // clipping and averaging, applied while the gradient passes by
  float oneMinusBeta1, beta2, oneMinusBeta2;
};

AdamwCoefficients coefficientsOf(double learningRate, double beta1, double beta2, double eps, double weightDecay, int64_t step, double gradientScale) {
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

// No fused multiply-add, which some processors lack and which need not fall the same way in a vector and in a tail.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

// Four floats at a time, which every processor has and which keep up with memory (24 GB/s on one Zen 3 core). GCC and clang
// give the type its arithmetic; only the root needs a name, because the plain one may set errno and is not vectorised.
typedef float Four __attribute__((vector_size(16)));

inline Four squareRoot(Four x) {
#if defined(__SSE2__)
  return _mm_sqrt_ps(x);
#elif defined(__ARM_NEON)
  return vsqrtq_f32(x);
#else
  return Four{std::sqrt(x[0]), std::sqrt(x[1]), std::sqrt(x[2]), std::sqrt(x[3])};
#endif
}

inline float squareRoot(float x) { return std::sqrt(x); }

/** Where a step reads and writes: `out` may be `in`, which is a step in place. */
struct AdamwState {
  float *weight, *m, *v;
};

template <typename T>
inline void put(float* to, T x, bool) {
  std::memcpy(to, &x, sizeof(T));
}

/** Past the caches: what a step writes is read again a step later, and a cache would first read what it overwrites. */
inline void put(float* to, Four x, bool streaming) {
#if defined(__SSE2__)
  if (streaming) return _mm_stream_ps(to, x);
#endif
  std::memcpy(to, &x, sizeof(Four));
}

template <typename T>
inline void adamwAt(const AdamwState& in, const float* gradient, const AdamwState& out, int64_t i, const AdamwCoefficients& c, bool streaming) {
  T w, g, first, second;
  std::memcpy(&w, in.weight + i, sizeof(T));
  std::memcpy(&g, gradient + i, sizeof(T));
  std::memcpy(&first, in.m + i, sizeof(T));
  std::memcpy(&second, in.v + i, sizeof(T));
  g = g * c.gradientScale;
  first = first + (g - first) * c.oneMinusBeta1;
  second = second * c.beta2 + (g * g) * c.oneMinusBeta2;
  w = w * c.decay - c.stepSize * first / (squareRoot(second) + c.epsilon);
  put(out.weight + i, w, streaming);
  put(out.m + i, first, streaming);
  put(out.v + i, second, streaming);
}

/** Elements [begin, end): each depends on nothing but itself, so the bits do not depend on how threads share them. */
void adamwRange(const AdamwState& in, const float* gradient, const AdamwState& out, int64_t begin, int64_t end, const AdamwCoefficients& c) {
  const bool aligned = ((reinterpret_cast<uintptr_t>(out.weight + begin) | reinterpret_cast<uintptr_t>(out.m + begin) | reinterpret_cast<uintptr_t>(out.v + begin)) & 15) == 0;
  const bool streaming = out.weight != in.weight && aligned;
  int64_t i = begin;
  for (; i + 4 <= end; i += 4) adamwAt<Four>(in, gradient, out, i, c, streaming);
  for (; i < end; ++i) adamwAt<float>(in, gradient, out, i, c, false);
#if defined(__SSE2__)
  if (streaming) _mm_sfence();
#endif
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

void checkSizes(const at::Tensor& weight, at::TensorList others) {
  for (const at::Tensor& other : others)
    TORCH_CHECK(other.sizes() == weight.sizes(), "hearth::adamw_: weight, gradient and moments must have one shape, got ", weight.sizes(), " and ", other.sizes());
}

/** The same step in ATen operators, seven passes and one temporary: for other devices and dtypes, and as the oracle. */
void adamwReference(at::Tensor weight, const at::Tensor& gradient, at::Tensor m, at::Tensor v, double learningRate, double beta1, double beta2,
                    double eps, double weightDecay, int64_t step, double gradientScale) {
  checkSizes(weight, {gradient, m, v});
  const at::NoGradGuard noGrad;
  const AdamwCoefficients c = coefficientsOf(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
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
  constexpr int64_t kGrain = 1 << 14;
  const at::Tensor g = gradient.to(at::kFloat).contiguous();
  const float* const gradients = g.data_ptr<float>();
  at::parallel_for(0, g.numel(), kGrain, [&](int64_t begin, int64_t end) { adamwRange(in, gradients, out, begin, end, c); });
}

void adamwCpu(at::Tensor weight, const at::Tensor& gradient, at::Tensor m, at::Tensor v, double learningRate, double beta1, double beta2,
              double eps, double weightDecay, int64_t step, double gradientScale) {
  checkSizes(weight, {gradient, m, v});
  if (!arePlain({weight, m, v}) || !gradient.device().is_cpu())
    return adamwReference(weight, gradient, m, v, learningRate, beta1, beta2, eps, weightDecay, step, gradientScale);
  const AdamwState state = stateOf(weight, m, v);
  adamwLoop(state, gradient, state, coefficientsOf(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale));
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
  adamwLoop(stateOf(weight, m, v), gradient, stateOf(weightOut, mOut, vOut), coefficientsOf(learningRate, beta1, beta2, eps, weightDecay, step, gradientScale));
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
