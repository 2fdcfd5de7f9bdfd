// Convolutions of 3 by 3 kernels with a quarter of the multiplications, where that pays; see winograd.h for how.
#pragma once
#include "kernels/conv/geometry.h"
#include "kernels/gemm/product.h"

namespace hearth {

/** An image (B, H, W, C), contiguous, and where its output lies: `top` and `left` pixels of zeros before it, as many sums as asked. */
struct WinogradImage {
  at::Tensor image;
  int64_t top, left, outHeight, outWidth;
  /** Every pixel counts as a square of four. */
  bool upsample;
};

/** Weights (O, 3, 3, I), contiguous. Turned: the kernel the other way round and from O to I, as a gradient wants them. */
struct WinogradKernel {
  at::Tensor weight;
  bool turned;

  int64_t columns() const { return weight.size(turned ? 3 : 0); }
  int64_t depth() const { return weight.size(turned ? 0 : 3); }
};

/** Whether it is faster than the plain product, and its form one of float32 sums of vectors. */
bool winogradPays(const GemmKernel& kernel, const WinogradImage& image, const WinogradKernel& weights);

/** `finish` gets the sums of output pixel (b · outHeight + y) · outWidth + x as row. Every sum is taken in one order. */
void winogradProduct(const WinogradImage& image, const WinogradKernel& weights, const Finish& finish);

}  // namespace hearth
