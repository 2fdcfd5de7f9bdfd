// Convolution of images. Channels come last, in images and in weights: what is multiplied then lies side by side, a pixel
// is a row as a token is, and attention and linear layers take images as they are. Files of PyTorch have weights
// (out, in, height, width); loading turns them once (`channelsLast`).
import { call, type Tensor } from '@hearth/torch'
import type { LinearActivation } from './linear.js'

export interface Conv2d {
  /** (out, height, width, in) */
  weight: Tensor
  /** (out) */
  bias?: Tensor
}

export interface Conv2dOptions {
  /** Pixels from one place of the kernel to the next. @default 1 */
  stride?: number
  /** Zeros around the image: on all sides alike, or [top, bottom, left, right]. @default 0 */
  padding?: number | readonly [top: number, bottom: number, left: number, right: number]
  /** Every pixel of x counts as a square of four, without an image of that size being made; the stride is 1 then. */
  upsample?: boolean
  /** @default none */
  activation?: LinearActivation
  /** (B, H', W', out), added after the activation. */
  residual?: Tensor
}

/**
 * y = activation(x * W + b) + residual, where * slides the kernel over the image (without turning it round), with products
 * summed in float32 (float64 in float64) and rounded once.
 * @param x (B, H, W, in)
 * @returns (B, H', W', out), with H' = (H + top + bottom - height) / stride + 1, rounded down, and W' likewise
 * @throws TorchError when the shapes do not fit, or the kernel is larger than the padded image
 * @example
 * const y = conv2d(weights.convolution, x, { padding: 1, residual: x }) // 3 × 3, as large as x
 */
export function conv2d({ weight, bias }: Conv2d, x: Tensor, options: Conv2dOptions = {}): Tensor {
  const { stride = 1, padding = 0, upsample = false, activation = 'none', residual } = options
  return call('hearth::conv2d', x, weight, bias, residual, stride, padding, upsample, activation) as Tensor
}

/**
 * Images or weights of PyTorch as they are here, as a view: no element moves.
 * @param x (B, C, H, W), or weights (out, in, height, width)
 * @returns (B, H, W, C), or weights (out, height, width, in)
 */
export const channelsLast = (x: Tensor): Tensor => x.permute([0, 2, 3, 1])

/**
 * The way back from channelsLast(), as a view.
 * @param x (B, H, W, C), or weights (out, height, width, in)
 * @returns (B, C, H, W), or weights (out, in, height, width)
 */
export const channelsSecond = (x: Tensor): Tensor => x.permute([0, 3, 1, 2])
