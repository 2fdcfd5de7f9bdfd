// The autoencoder of latent diffusion (Kingma, Welling 2013; Rombach et al. 2022): pictures to latent images an eighth as
// large a side, and back. diffusers calls it AutoencoderKL.
// B batch, H and W pixels, C channels, Z latent channels, f = 2^(levels - 1).
import { scope, type Tensor } from '@hearth/torch'
import { attention, conv2d, groupNorm, linear } from '../../nn/index.js'
import type { ImagePart } from '../image-part.js'
import { residualBlock } from '../residual-block.js'
import { parseConfig, type VaeConfig } from './config.js'
import { build, type PixelAttention, type VaeHalf, type VaeMiddle, type VaeWeights } from './weights.js'

const EPS = 1e-6

/** Where a picture may lie among latent images: a normal distribution for each number. */
export interface Latents {
  /** (B, H / f, W / f, Z) */
  mean: Tensor
  /** Its logarithm is kept between -30 and 20. */
  logVariance: Tensor
}

/** One head as wide as all channels: every pixel looks at all. */
function pixelAttention(weights: PixelAttention, x: Tensor, groups: number): Tensor {
  return scope(() => {
    const normed = groupNorm(weights.norm, x, { groups, eps: EPS }).flatten({ startDim: 1, endDim: 2 }) // (B, N, C)
    const [q, k, v] = [weights.query, weights.key, weights.value].map((each) => linear(each, normed).unsqueeze(1))
    const found = attention(q!, k!, v!).squeeze(1).view(x.shape) // (B, 1, N, C) → (B, H, W, C)
    return linear(weights.out, found, { residual: x })
  })
}

function runMiddle({ first, attention, second }: VaeMiddle, x: Tensor, { groups }: VaeConfig): Tensor {
  return scope(() => {
    const norm = { groups, eps: EPS }
    const y = residualBlock(first, x, norm)
    return residualBlock(second, attention ? pixelAttention(attention, y, groups) : y, norm)
  })
}

/** The next resolution of the encoder: half as large, with the padding right and below alone. */
const shrink = (weights: VaeHalf['into'], x: Tensor): Tensor => conv2d(weights, x, { stride: 2, padding: [0, 1, 0, 1] })
const enlarge = (weights: VaeHalf['into'], x: Tensor): Tensor => conv2d(weights, x, { padding: 1, upsample: true })

/** All stages; what each step was made of is given up at once, as pictures are large. */
function runStages(half: VaeHalf, start: Tensor, config: VaeConfig, resample: typeof shrink): Tensor {
  let x = start
  const step = (next: Tensor) => {
    if (x !== start) x.dispose()
    x = next
  }
  for (const stage of half.stages) {
    for (const block of stage.residuals) step(residualBlock(block, x, { groups: config.groups, eps: EPS }))
    if (stage.resample) step(resample(stage.resample, x))
  }
  return x
}

function finish(half: VaeHalf, x: Tensor, { groups }: VaeConfig): Tensor {
  return scope(() => conv2d(half.out, groupNorm(half.norm, x, { groups, eps: EPS, silu: true }), { padding: 1 }))
}

/**
 * @param picture (B, H, W, imageChannels), from -1 to 1; H and W are multiples of f
 * @throws TorchError when the shapes do not fit
 */
function encode({ encoder, quant }: VaeWeights, config: VaeConfig, picture: Tensor): Latents {
  return scope(() => {
    const x = runStages(encoder, conv2d(encoder.into, picture, { padding: 1 }), config, shrink)
    const moments = finish(encoder, runMiddle(encoder.middle, x, config), config)
    const [mean, logVariance] = (quant ? conv2d(quant, moments) : moments).chunk(2, { dim: 3 }) as [Tensor, Tensor]
    return { mean: mean.contiguous(), logVariance: logVariance.clamp({ min: -30, max: 20 }) }
  })
}

/**
 * @param latents (B, h, w, Z), as encode() gives them: without the U-Net's scale
 * @returns (B, h · f, w · f, imageChannels), about from -1 to 1
 */
function decode({ decoder, postQuant }: VaeWeights, config: VaeConfig, latents: Tensor): Tensor {
  return scope(() => {
    const before = postQuant ? conv2d(postQuant, latents) : latents
    const x = runMiddle(decoder.middle, conv2d(decoder.into, before, { padding: 1 }), config)
    return finish(decoder, runStages(decoder, x, config, enlarge), config)
  })
}

export const vae = {
  className: 'AutoencoderKL',
  ignored: [],
  parseConfig,
  build,
  encode,
  decode,
} satisfies ImagePart<VaeConfig, VaeWeights> & { encode: typeof encode; decode: typeof decode }
