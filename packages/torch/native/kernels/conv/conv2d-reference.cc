// hearth::conv2d made of ATen's operators: for GPUs, float64, HEARTH_KERNELS=reference, and processors whose library multiplies
// faster than we do. ATen's images are (B, C, H, W); ours are such ones with the channels last in memory.
#include "kernels/conv/geometry.h"

namespace hearth {

namespace {

using at::Tensor;

/** (B, H, W, C) -> (B, C, H, W), and weights likewise. */
Tensor channelsSecond(const Tensor& x) { return x.permute({0, 3, 1, 2}); }
Tensor channelsLast(const Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous(); }

/** Every pixel four times, (B, H, W, C) -> (B, 2 H, 2 W, C). */
Tensor twiceAsLarge(const Tensor& x) { return x.repeat_interleave(2, 1).repeat_interleave(2, 2); }

Tensor padded(const Tensor& x, const ConvGeometry& g) { return g.pads() ? at::constant_pad_nd(x, {0, 0, g.left, g.right, g.top, g.bottom}) : x; }

Tensor activated(const Tensor& x, LinearActivation activation) {
  switch (activation) {
    case LinearActivation::gelu: return at::gelu(x);
    case LinearActivation::geluTanh: return at::gelu(x, "tanh");
    case LinearActivation::silu: return at::silu(x);
    default: return x;
  }
}

/** The gradient of the padded image or that of the weight, as ATen lays them out. */
Tensor gradientOf(const Tensor& upstream, const Tensor& image, const Tensor& weight, const ConvGeometry& g, bool ofWeight) {
  if (upstream.numel() == 0) return at::zeros_like(ofWeight ? weight : image);
  const std::vector<int64_t> none{0, 0}, one{1, 1}, stride{g.strideY, g.strideX};
  const auto gradients = at::convolution_backward(channelsSecond(upstream), image, weight, c10::nullopt, stride, none, one, /*transposed=*/false, none,
                                                  /*groups=*/1, {!ofWeight, ofWeight, false});
  return ofWeight ? std::get<1>(gradients) : std::get<0>(gradients);
}

}  // namespace

ConvGeometry geometryOf(at::IntArrayRef image, at::IntArrayRef weight, const ConvOptions& options) {
  TORCH_CHECK(image.size() == 4 && weight.size() == 4 && image[3] == weight[3] && image[3] > 0 && weight[1] > 0 && weight[2] > 0,
              "hearth::conv2d: x must be (batch, height, width, in) and weight (out, height, width, in), got x of shape ", image, " and weight of shape ",
              weight);
  TORCH_CHECK(options.stride.size() == 2 && options.padding.size() == 4, "hearth::conv2d: two strides and four paddings (top, bottom, left, right), got ",
              options.stride, " and ", options.padding);
  const auto &s = options.stride, &p = options.padding;
  const ConvGeometry g{image[0], image[1], image[2], image[3], weight[0], weight[1], weight[2], s[0], s[1], p[0], p[1], p[2], p[3], options.upsample};
  TORCH_CHECK(g.strideY > 0 && g.strideX > 0 && g.top >= 0 && g.bottom >= 0 && g.left >= 0 && g.right >= 0,
              "hearth::conv2d: strides must be positive and paddings not negative, got ", s, " and ", p);
  TORCH_CHECK(!g.upsample || (g.strideY == 1 && g.strideX == 1), "hearth::conv2d: with upsample strides are 1, got ", s);
  TORCH_CHECK(g.paddedHeight() >= g.kernelHeight && g.paddedWidth() >= g.kernelWidth, "hearth::conv2d: the kernel ", weight,
              " is larger than the padded image, ", g.paddedHeight(), " by ", g.paddedWidth(), ", made of ", image);
  return g;
}

void checkAdded(const Tensor& x, const OptionalTensor& bias, const OptionalTensor& residual, const ConvGeometry& g) {
  if (bias.has_value())
    TORCH_CHECK(bias->dim() == 1 && bias->size(0) == g.outChannels && bias->scalar_type() == x.scalar_type(),
                "hearth::conv2d: bias must be (out) in the dtype of x, with out = ", g.outChannels, ", got ", bias->scalar_type(), " of shape ", bias->sizes());
  if (residual.has_value())
    TORCH_CHECK(residual->sizes().equals(g.outShape()) && residual->scalar_type() == x.scalar_type(), "hearth::conv2d: residual must be ",
                c10::IntArrayRef(g.outShape()), " in the dtype of x, got ", residual->scalar_type(), " of shape ", residual->sizes());
}

std::tuple<Tensor, Tensor> conv2dReference(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, const OptionalTensor& residual,
                                           const ConvOptions& options, c10::string_view activation, bool keepsBefore) {
  const ConvGeometry g = geometryOf(x.sizes(), weight.sizes(), options);
  checkAdded(x, bias, residual, g);
  const auto own = x.scalar_type(), wide = arithmeticOf(x);
  const Tensor image = padded(g.upsample ? twiceAsLarge(x) : x, g).to(wide);
  const OptionalTensor b = bias.has_value() ? OptionalTensor(bias->to(wide)) : c10::nullopt;
  const Tensor before = g.outPixels() == 0  // which libtorch 1.13 refuses
                            ? at::empty(g.outShape(), image.options())
                            : channelsLast(at::conv2d(channelsSecond(image), channelsSecond(weight.to(wide)), b, {g.strideY, g.strideX}));
  Tensor y = activated(before, activationNamed(activation));
  if (residual.has_value()) y = y + residual->to(wide);
  return {y.to(own), keepsBefore ? before.to(own) : at::empty({0}, x.options())};
}

Tensor conv2dInputGradientReference(const Tensor& upstream, const Tensor& weight, const ConvGeometry& g) {
  const auto wide = arithmeticOf(upstream);
  const Tensor image = at::empty({g.batch, g.channels, g.paddedHeight(), g.paddedWidth()}, upstream.options().dtype(wide));
  const Tensor dx = gradientOf(upstream.to(wide), image, channelsSecond(weight.to(wide)), g, false);
  return channelsLast(dx.narrow(2, g.top, g.height).narrow(3, g.left, g.width)).to(upstream.scalar_type());
}

Tensor conv2dWeightGradientReference(const Tensor& upstream, const Tensor& x, const ConvGeometry& g) {
  const auto wide = arithmeticOf(upstream);
  const Tensor weight = at::empty({g.outChannels, g.channels, g.kernelHeight, g.kernelWidth}, upstream.options().dtype(wide));
  return channelsLast(gradientOf(upstream.to(wide), channelsSecond(padded(x, g).to(wide)), weight, g, true)).to(x.scalar_type());
}

}  // namespace hearth
