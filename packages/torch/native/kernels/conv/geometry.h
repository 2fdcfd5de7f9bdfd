// The sizes of a convolution, and the operands of hearth::conv2d that its parts share. Images are (B, H, W, C) and weights
// (out, height, width, in): channels last in both, so that what is multiplied lies side by side.
#pragma once
#include <ATen/ATen.h>

#include "kernels/gemm/linear.h"

namespace hearth {

/** Padding is in pixels of the image that the kernel slides over, which is twice as large as x where `upsample`. */
struct ConvGeometry {
  int64_t batch, height, width, channels;
  int64_t outChannels, kernelHeight, kernelWidth;
  int64_t strideY, strideX;
  int64_t top, bottom, left, right;
  /** Every pixel of x counts as a square of four. */
  bool upsample;

  int64_t paddedHeight() const { return (upsample ? 2 : 1) * height + top + bottom; }
  int64_t paddedWidth() const { return (upsample ? 2 : 1) * width + left + right; }
  int64_t outHeight() const { return (paddedHeight() - kernelHeight) / strideY + 1; }
  int64_t outWidth() const { return (paddedWidth() - kernelWidth) / strideX + 1; }
  int64_t taps() const { return kernelHeight * kernelWidth; }
  int64_t outPixels() const { return batch * outHeight() * outWidth(); }
  std::vector<int64_t> inShape() const { return {batch, height, width, channels}; }
  std::vector<int64_t> outShape() const { return {batch, outHeight(), outWidth(), outChannels}; }
  std::vector<int64_t> weightShape() const { return {outChannels, kernelHeight, kernelWidth, channels}; }
  bool pads() const { return top != 0 || bottom != 0 || left != 0 || right != 0; }
  /** Whether every output pixel is a linear map of the one pixel at its place. */
  bool isPointwise() const { return taps() == 1 && strideY == 1 && strideX == 1 && !pads() && !upsample; }
  bool isThreeByThree() const { return kernelHeight == 3 && kernelWidth == 3 && strideY == 1 && strideX == 1; }
};

struct ConvOptions {
  /** (vertical, horizontal), and (top, bottom, left, right). */
  at::IntArrayRef stride, padding;
  bool upsample = false;
};

/** Throws, with all shapes, where image, weight and options do not fit. */
ConvGeometry geometryOf(at::IntArrayRef image, at::IntArrayRef weight, const ConvOptions& options);

// The operators made of ATen's, for other devices and dtypes and for comparison.
std::tuple<at::Tensor, at::Tensor> conv2dReference(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias,
                                                   const OptionalTensor& residual, const ConvOptions& options, c10::string_view activation,
                                                   bool keepsBefore);
at::Tensor conv2dInputGradientReference(const at::Tensor& upstream, const at::Tensor& weight, const ConvGeometry& geometry);
at::Tensor conv2dWeightGradientReference(const at::Tensor& upstream, const at::Tensor& x, const ConvGeometry& geometry);

/** Throws where bias or residual do not fit. */
void checkAdded(const at::Tensor& x, const OptionalTensor& bias, const OptionalTensor& residual, const ConvGeometry& geometry);

}  // namespace hearth
