// A convolution as dense products over patches. Most are one product. The gradient of the input of a strided one falls
// into as many as there are remainders of the stride, each with the taps that reach such pixels; and over an image that
// is made twice as large, pixels of even and odd places see the same source pixels through different taps, which are then
// added beforehand: 4 products of 4 taps in place of one of 9, over four times fewer pixels each.
#pragma once
#include "kernels/conv/geometry.h"
#include "kernels/conv/patches.h"

namespace hearth {

/** Where the rows of a product go: row (b, y, x) of its grid to pixel (b, y · step + first) of the output. */
struct Place {
  int64_t gridHeight, gridWidth, height, width, stepY, stepX, firstY, firstX;

  int64_t pixelOf(int64_t row) const {
    const int64_t x = row % gridWidth, y = row / gridWidth % gridHeight, b = row / gridWidth / gridHeight;
    return (b * height + y * stepY + firstY) * width + x * stepX + firstX;
  }
};

struct Phase {
  Patches patches;
  /** (columns, depth of the patches). */
  at::Tensor weight;
  Place place;
};

/** x (B, H, W, C) and weight (O, h, w, C) contiguous, and alive as long as the phases. */
std::vector<Phase> forwardPhases(const at::Tensor& x, const at::Tensor& weight, const ConvGeometry& geometry);

/** Of upstream (B, H', W', O), contiguous; the output is the gradient of x. */
std::vector<Phase> inputGradientPhases(const at::Tensor& upstream, const at::Tensor& weight, const ConvGeometry& geometry);

}  // namespace hearth
