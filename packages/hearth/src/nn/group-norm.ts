// Group normalisation (Wu, He 2018) of images with their channels last, with what stands beside it in a U-Net's residual
// block: the embedding of the time added before, the SiLU after.
import { call, type Tensor } from '@hearth/torch'

export interface GroupNorm {
  /** (channels) */
  weight: Tensor
  /** (channels) */
  bias: Tensor
}

export interface GroupNormOptions {
  /** Divides the channels; those of a group follow each other. */
  groups: number
  eps: number
  /** (B, channels), added to every pixel of its image first, at no cost. */
  shift?: Tensor
  /** Whether y sigmoid(y) is taken of the result y. @default false */
  silu?: boolean
}

/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and biased variance over the pixels of an image and the
 * channels of a group, computed in float32 and rounded once.
 * @param x (B, ..., channels)
 * @returns (B, ..., channels)
 * @throws TorchError when shapes do not fit, or the groups do not divide the channels
 * @example
 * const y = groupNorm(weights.norm, x, { groups: 32, eps: 1e-5, shift: embedded, silu: true })
 */
export function groupNorm({ weight, bias }: GroupNorm, x: Tensor, options: GroupNormOptions): Tensor {
  const { groups, eps, shift, silu = false } = options
  return call('hearth::group_norm', x, shift, weight, bias, groups, eps, silu) as Tensor
}
