// hearth::conv2d: y = activation(x * W + b) + residual and its gradients, as products of patches with weights by the matrix
// products of gemm/, with the same sums, epilogues and forms: float32 and bfloat16 in, sums in float32, one rounding.
// Measured against libtorch's own in bench/kernels/conv.bench.ts.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include "kernels/conv/geometry.h"
#include "kernels/conv/phases.h"
#include "kernels/conv/winograd-product.h"
#include "kernels/gemm/choice.h"
#include "kernels/gemm/finish.h"
#include "kernels/operands.h"

namespace hearth {

namespace {

using at::IntArrayRef;
using at::Tensor;
using TwoTensors = std::tuple<Tensor, Tensor>;

/** Rows of the patch matrix whose part of the weights' gradient is summed at a time: enough to be worth adding, few enough to pack. */
constexpr int64_t kSlab = 2048;

const GemmKernel* kernelFor(const Tensor& x) { return isOurs(x) ? chosenKernel(x.scalar_type()) : nullptr; }

void computePhase(const GemmKernel& kernel, const Phase& phase, const Finish& finish) {
  const OperandOf right(phase.weight);
  product(kernel, patchRows(kernel, phase.patches), rightSide(kernel, right.operand),
          [&](int64_t row, int64_t column, int64_t count, const float* sums) { finish(phase.place.pixelOf(row), column, count, sums); });
}

void computeForward(const GemmKernel& kernel, const Tensor& x, const Tensor& weight, const ConvGeometry& geometry, const Finish& finish) {
  if (geometry.isPointwise()) {
    const OperandOf left(x.view({-1, geometry.channels})), right(weight.view({geometry.outChannels, -1}));
    return product(kernel, left.operand, right.operand, finish);
  }
  const WinogradImage image{x, geometry.top, geometry.left, geometry.outHeight(), geometry.outWidth(), geometry.upsample};
  if (geometry.isThreeByThree() && winogradPays(kernel, image, {weight, false})) return winogradProduct(image, {weight, false}, finish);
  for (const Phase& phase : forwardPhases(x, weight, geometry)) computePhase(kernel, phase, finish);
}

void computeInputGradient(const GemmKernel& kernel, const Tensor& upstream, const Tensor& weight, const ConvGeometry& geometry, const Finish& finish) {
  const WinogradImage image{upstream, 2 - geometry.top, 2 - geometry.left, geometry.height, geometry.width, false};
  if (geometry.isThreeByThree() && winogradPays(kernel, image, {weight, true})) return winogradProduct(image, {weight, true}, finish);
  for (const Phase& phase : inputGradientPhases(upstream, weight, geometry)) computePhase(kernel, phase, finish);
}

TwoTensors conv2dForwardCpu(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual, IntArrayRef stride,
                            IntArrayRef padding, bool upsample, c10::string_view activation, bool keepsBefore) {
  const ConvOptions options{stride, padding, upsample};
  const GemmKernel* const kernel = kernelFor(x);
  if (kernel == nullptr) return conv2dReference(x, weight, bias, residual, options, activation, keepsBefore);
  const ConvGeometry geometry = geometryOf(x.sizes(), weight.sizes(), options);
  TORCH_CHECK(x.scalar_type() == weight.scalar_type(), "hearth::conv2d: x and weight must have one dtype, got ", x.scalar_type(), " and ", weight.scalar_type());
  checkAdded(x, bias, residual, geometry);
  const LinearActivation chosen = activationNamed(activation);
  const Tensor image = x.contiguous(), w = weight.contiguous();
  const Tensor b = bias.has_value() ? bias->contiguous() : Tensor(), r = residual.has_value() ? residual->contiguous() : Tensor();
  const Tensor y = at::empty(geometry.outShape(), x.options()), before = keepsBefore ? at::empty_like(y) : at::empty({0}, x.options());
  withElementsOf(x, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const auto orNull = [](const Tensor& tensor) { return tensor.defined() ? dataOf<T>(tensor) : nullptr; };
    T* const kept = keepsBefore ? dataOf<T>(before) : nullptr;
    computeForward(*kernel, image, w, geometry, Epilogue<T>{orNull(b), orNull(r), kept, dataOf<T>(y), geometry.outChannels, chosen});
  });
  return {y, before};
}

void checkUpstream(const Tensor& upstream, const ConvGeometry& geometry) {
  TORCH_CHECK(upstream.sizes().equals(geometry.outShape()), "hearth::conv2d: the upstream gradient must be ", c10::IntArrayRef(geometry.outShape()), ", got ",
              upstream.sizes());
}

Tensor conv2dInputGradientReferenceOf(const Tensor& upstream, const Tensor& weight, IntArrayRef image, IntArrayRef stride, IntArrayRef padding) {
  const ConvGeometry geometry = geometryOf(image, weight.sizes(), {stride, padding});
  checkUpstream(upstream, geometry);
  return conv2dInputGradientReference(upstream, weight, geometry);
}

Tensor conv2dInputGradientCpu(const Tensor& upstream, const Tensor& weight, IntArrayRef image, IntArrayRef stride, IntArrayRef padding) {
  const GemmKernel* const kernel = kernelFor(upstream);
  if (kernel == nullptr) return conv2dInputGradientReferenceOf(upstream, weight, image, stride, padding);
  const ConvGeometry geometry = geometryOf(image, weight.sizes(), {stride, padding});
  checkUpstream(upstream, geometry);
  const Tensor dy = upstream.contiguous(), w = weight.contiguous(), dx = at::empty(image, upstream.options());
  withElementsOf(dx, [&](auto* element) {
    using T = std::remove_pointer_t<decltype(element)>;
    const Epilogue<T> epilogue{nullptr, nullptr, nullptr, dataOf<T>(dx), geometry.channels, LinearActivation::none};
    computeInputGradient(*kernel, dy, w, geometry, epilogue);
  });
  return dx;
}

Tensor conv2dWeightGradientReferenceOf(const Tensor& upstream, const Tensor& x, IntArrayRef weight, IntArrayRef stride, IntArrayRef padding) {
  const ConvGeometry geometry = geometryOf(x.sizes(), weight, {stride, padding});
  checkUpstream(upstream, geometry);
  return conv2dWeightGradientReference(upstream, x, geometry);
}

/** Slabs of pixels are added up in their order, each the product of upstream and patches, both turned. */
Tensor conv2dWeightGradientCpu(const Tensor& upstream, const Tensor& x, IntArrayRef weight, IntArrayRef stride, IntArrayRef padding) {
  const GemmKernel* const kernel = kernelFor(upstream);
  if (kernel == nullptr) return conv2dWeightGradientReferenceOf(upstream, x, weight, stride, padding);
  const ConvGeometry geometry = geometryOf(x.sizes(), weight, {stride, padding});
  checkUpstream(upstream, geometry);
  const Tensor image = x.contiguous(), dy = upstream.contiguous().view({-1, geometry.outChannels});
  const Tensor sums = at::zeros({geometry.outChannels, geometry.taps() * geometry.channels}, at::kFloat);
  const std::vector<Phase> phases = forwardPhases(image, at::empty(weight, x.options()), geometry);
  float* const data = dataOf<float>(sums);
  const int64_t columns = sums.size(1), pixels = dy.size(0);
  const Finish add = [&](int64_t row, int64_t column, int64_t count, const float* part) {
    epilogueTable().float32.addRows(part, 1, count, data + row * columns + column, count);
  };
  for (int64_t first = 0; first < pixels; first += kSlab) {
    const int64_t count = std::min(kSlab, pixels - first);
    const OperandOf left(dy.narrow(0, first, count).t());
    product(*kernel, leftSide(*kernel, left.operand), patchColumns(*kernel, phases.front().patches, first, count), add);
  }
  return sums.view(weight).to(x.scalar_type());
}

TwoTensors conv2dForwardReference(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual, IntArrayRef stride,
                                  IntArrayRef padding, bool upsample, c10::string_view activation, bool keepsBefore) {
  return conv2dReference(x, weight, bias, residual, {stride, padding, upsample}, activation, keepsBefore);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hearth, library) {
  library.def(
      "conv2d_forward(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, int[2] stride, int[4] padding, bool upsample, str activation, "
      "bool keeps_before) -> (Tensor, Tensor)");
  library.def("conv2d_input_gradient(Tensor upstream, Tensor weight, int[] image, int[2] stride, int[4] padding) -> Tensor");
  library.def("conv2d_weight_gradient(Tensor upstream, Tensor x, int[] weight, int[2] stride, int[4] padding) -> Tensor");
}

TORCH_LIBRARY_IMPL(hearth, CompositeExplicitAutograd, library) {
  library.impl("conv2d_forward", conv2dForwardReference);
  library.impl("conv2d_input_gradient", conv2dInputGradientReferenceOf);
  library.impl("conv2d_weight_gradient", conv2dWeightGradientReferenceOf);
}

TORCH_LIBRARY_IMPL(hearth, CPU, library) {
  library.impl("conv2d_forward", conv2dForwardCpu);
  library.impl("conv2d_input_gradient", conv2dInputGradientCpu);
  library.impl("conv2d_weight_gradient", conv2dWeightGradientCpu);
}

}  // namespace hearth
