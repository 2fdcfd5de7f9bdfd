// The residual block of U-Nets and their autoencoders (Ho et al. 2020): norm, SiLU, convolution, twice; the embedding of
// the time is added in between. diffusers calls it ResnetBlock2D.
// B batch, H and W pixels, C channels in, O channels out, T width of the time's embedding.
import { scope, type Tensor } from '@hearth/torch'
import { activate, conv2d, groupNorm, linear, type Conv2d, type GroupNorm, type Linear } from '../nn/index.js'
import type { PartBuilder } from './image-part.js'

export interface ResidualBlock {
  norm1: GroupNorm
  conv1: Conv2d
  /** (O, T); an autoencoder knows no time. */
  time?: Linear
  norm2: GroupNorm
  conv2: Conv2d
  /** 1 × 1, where the number of channels changes. */
  shortcut?: Conv2d
}

export interface ResidualSizes {
  channels: number
  outChannels: number
  /** Width of the time's embedding. */
  time?: number
}

export function buildResidualBlock(at: PartBuilder, { channels, outChannels, time }: ResidualSizes): ResidualBlock {
  return {
    norm1: at.norm('norm1', channels),
    conv1: at.conv('conv1', channels, outChannels),
    ...(time !== undefined && { time: at.linear('time_emb_proj', time, outChannels) }),
    norm2: at.norm('norm2', outChannels),
    conv2: at.conv('conv2', outChannels, outChannels),
    ...(channels !== outChannels && { shortcut: at.conv('conv_shortcut', channels, outChannels, 1) }),
  }
}

/**
 * x' + conv(silu(norm(conv(silu(norm(x))) + time))), where x' is x with the new number of channels.
 * @param x (B, H, W, C)
 * @param time (B, T), the embedding before its SiLU
 * @returns (B, H, W, O)
 */
export function residualBlock(
  weights: ResidualBlock,
  x: Tensor,
  { groups, eps }: { groups: number; eps: number },
  time?: Tensor,
): Tensor {
  return scope(() => {
    const first = conv2d(weights.conv1, groupNorm(weights.norm1, x, { groups, eps, silu: true }), { padding: 1 })
    const shift = weights.time && time ? linear(weights.time, activate('silu', time)) : undefined // (B, O)
    const normed = groupNorm(weights.norm2, first, { groups, eps, silu: true, ...(shift && { shift }) })
    first.dispose()
    const residual = weights.shortcut === undefined ? x : conv2d(weights.shortcut, x)
    return conv2d(weights.conv2, normed, { padding: 1, residual })
  })
}
