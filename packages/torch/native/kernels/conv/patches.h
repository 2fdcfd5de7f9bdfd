// Convolution as a matrix product: row r of the patch matrix holds the pixels that output pixel r sees, tap after tap.
// The matrix never exists: what a block of the product needs of it is gathered, packed and forgotten.
// Source: Chellapilla, Puri, Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006.
#pragma once
#include <vector>

#include "kernels/gemm/product.h"

namespace hearth {

/** Where a pixel of a patch lies, seen from the patch's own place. */
struct Tap {
  int64_t y, x;
};

/** The patch matrix (B · grid, taps · C) of an image (B, H, W, C), contiguous; pixels outside the image are zero. */
struct Patches {
  const void* data;
  int64_t elementSize;
  int64_t batch, height, width, channels;
  /** Rows are the points of this grid, which lie `step` pixels apart in the image. */
  int64_t gridHeight, gridWidth, stepY, stepX;
  std::vector<Tap> taps;

  int64_t rows() const { return batch * gridHeight * gridWidth; }
  int64_t depth() const { return static_cast<int64_t>(taps.size()) * channels; }
};

/** Some rows of the patch matrix as L: what a convolution multiplies with its weights. Both arguments must outlive it. */
Side patchRows(const GemmKernel& kernel, const Patches& patches);

/** The columns of rows `first` to `first + count` as R, deep as those rows: what the gradient of the weights is made of. */
Side patchColumns(const GemmKernel& kernel, const Patches& patches, int64_t first, int64_t count);

}  // namespace hearth
