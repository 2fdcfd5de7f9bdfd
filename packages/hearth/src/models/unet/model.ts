// The conditional U-Net of latent diffusion (Ronneberger et al. 2015; Ho et al. 2020; Rombach et al. 2022), of Stable
// Diffusion 1.x, 2.x and XL (Podell et al. 2023). diffusers calls it UNet2DConditionModel.
// B batch, H and W pixels of the latent image, C channels, S tokens of the text, D their width, T width of the time.
import { cat, scope, tensor, type Tensor } from '@hearth/torch'
import { conv2d, groupNorm, linear, type Linear } from '../../nn/index.js'
import type { ImagePart } from '../image-part.js'
import { residualBlock } from '../residual-block.js'
import { parseConfig, type UnetConfig } from './config.js'
import { spatialTransformer } from './transformer.js'
import { build, type UnetStage, type UnetWeights } from './weights.js'

export interface UnetInputs {
  /** (B, H, W, inChannels) */
  image: Tensor
  /** The step of the noise, from 0 to the number of training steps: one for all images. */
  time: number
  /** (B, S, D) */
  text: Tensor
  /** XL: the pooled text (B, P) and the sizes of each image (B, 6), as the paper's conditioning has them. */
  added?: { pooled: Tensor; sizes: Tensor }
}

/**
 * Sines and cosines of each value at falling frequencies (Vaswani et al. 2017).
 * @param values (n)
 * @returns (n, width) float32
 */
export function sinusoids(values: Tensor, width: number, { cosineFirst, frequencyShift }: UnetConfig): Tensor {
  return scope(() => {
    const half = width / 2
    const frequencies = Array.from({ length: half }, (_, i) =>
      Math.exp((-Math.log(10_000) * i) / (half - frequencyShift)),
    )
    const angles = values
      .to('float64')
      .view([-1, 1])
      .mul(tensor(frequencies, { dtype: 'float64' })) // (n, half)
    const parts = [angles.sin(), angles.cos()]
    return cat(cosineFirst ? parts.reverse() : parts, { dim: 1 }).to('float32')
  })
}

const embedder = ({ up, out }: { up: Linear; out: Linear }, x: Tensor): Tensor =>
  linear(out, linear(up, x, { activation: 'silu' }))

/** (B, T), or (1, T) where every image has the same. */
function embedTime(weights: UnetWeights, config: UnetConfig, { time, added, image }: UnetInputs): Tensor {
  return scope(() => {
    const { dtype } = weights.time.up.weight
    const at = sinusoids(tensor([time]), config.levels[0]!.channels, config).to(dtype) // (1, C)
    const embedded = embedder(weights.time, at).expand([image.shape[0]!, -1]) // (B, T)
    if (weights.added === undefined || added === undefined) return embedded.contiguous()
    const { pooled, sizes } = added
    const sines = sinusoids(sizes.flatten(), config.added!.timeWidth, config) // (B·6, width)
    const joined = cat([pooled.to(dtype), sines.to(dtype).view([image.shape[0]!, -1])], { dim: 1 }) // (B, P + 6·width)
    return embedded.add(embedder(weights.added, joined))
  })
}

interface Context {
  config: UnetConfig
  time: Tensor
  text: Tensor
}

/** The residual block of that place in a stage, and the transformer after it where there is one. */
function runLayer(stage: UnetStage, i: number, x: Tensor, heads: number, { config, time, text }: Context): Tensor {
  return scope(() => {
    const y = residualBlock(stage.residuals[i]!, x, config, time)
    const transformer = stage.transformers[i]
    return transformer === undefined ? y : spatialTransformer(transformer, y, text, { heads, groups: config.groups })
  })
}

/** Twice as large; where an odd size was halved on the way down, one pixel less. */
function enlarge(stage: UnetStage, x: Tensor, like: Tensor | undefined): Tensor {
  const [, height = 0, width = 0] = like?.shape ?? []
  const [, h = 0, w = 0] = x.shape
  if (like === undefined || (height === 2 * h && width === 2 * w))
    return conv2d(stage.resample!, x, { padding: 1, upsample: true })
  return scope(() => {
    const twice = x.repeatInterleave(2, { dim: 1 }).repeatInterleave(2, { dim: 2 }) // (B, 2·h, 2·w, C)
    return conv2d(stage.resample!, twice.narrow(1, 0, height).narrow(2, 0, width), { padding: 1 })
  })
}

/** The way down: the result, and everything that the way up takes from it, in order. */
function goDown(weights: UnetWeights, image: Tensor, context: Context): { x: Tensor; kept: Tensor[] } {
  let x = conv2d(weights.into, image, { padding: 1 })
  const kept = [x]
  for (const [level, stage] of weights.down.entries()) {
    const { heads } = context.config.levels[level]!
    for (const i of stage.residuals.keys()) kept.push((x = runLayer(stage, i, x, heads, context)))
    if (stage.resample) kept.push((x = conv2d(stage.resample, x, { stride: 2, padding: 1 })))
  }
  return { x, kept }
}

function goUp(weights: UnetWeights, start: Tensor, kept: Tensor[], context: Context): Tensor {
  let x = start
  /** What came before is needed no more. */
  const step = (next: Tensor) => {
    x.dispose()
    x = next
  }
  for (const [i, stage] of weights.up.entries()) {
    const { heads } = context.config.levels[weights.up.length - 1 - i]!
    for (const layer of stage.residuals.keys()) {
      const other = kept.pop()!
      step(scope(() => runLayer(stage, layer, cat([x, other], { dim: 3 }), heads, context)))
      other.dispose()
    }
    if (stage.resample) step(enlarge(stage, x, kept.at(-1)))
  }
  return x
}

/**
 * What the network makes of a noisy image: the noise in it, or the velocity, as it was trained.
 * @returns (B, H, W, outChannels)
 * @throws TorchError when the shapes do not fit
 */
function forward(weights: UnetWeights, config: UnetConfig, inputs: UnetInputs): Tensor {
  return scope(() => {
    const context = { config, time: embedTime(weights, config, inputs), text: inputs.text }
    const { x, kept } = goDown(weights, inputs.image, context)
    const { first, transformer, second } = weights.middle
    const sizes = { heads: config.levels.at(-1)!.heads, groups: config.groups }
    const looked = spatialTransformer(transformer, residualBlock(first, x, config, context.time), inputs.text, sizes)
    const y = goUp(weights, residualBlock(second, looked, config, context.time), kept, context)
    const { groups, eps } = config
    return conv2d(weights.out, groupNorm(weights.norm, y, { groups, eps, silu: true }), { padding: 1 })
  })
}

export const unet = {
  className: 'UNet2DConditionModel',
  ignored: [],
  parseConfig,
  build,
  forward,
} satisfies ImagePart<UnetConfig, UnetWeights> & { forward: typeof forward }
