// Weights of the conditional U-Net, by diffusers' names.
import type { Conv2d, GroupNorm, Linear } from '../../nn/index.js'
import { PartBuilder } from '../image-part.js'
import { buildResidualBlock, type ResidualBlock } from '../residual-block.js'
import type { WeightSource } from '../weight-source.js'
import type { UnetConfig } from './config.js'
import { buildTransformer, type SpatialTransformer } from './transformer.js'

/** One resolution on the way down or up. */
export interface UnetStage {
  residuals: ResidualBlock[]
  /** One after each residual block; none where the level has no attention. */
  transformers: SpatialTransformer[]
  /** To the next resolution; the last stage has none. */
  resample?: Conv2d
}

export interface UnetWeights {
  into: Conv2d
  /** Two linear layers, as `added`. */
  time: { up: Linear; out: Linear }
  added?: { up: Linear; out: Linear }
  down: UnetStage[]
  middle: { first: ResidualBlock; transformer: SpatialTransformer; second: ResidualBlock }
  up: UnetStage[]
  norm: GroupNorm
  out: Conv2d
}

/** Width of the time's embedding. */
export const timeWidth = ({ levels }: UnetConfig): number => 4 * levels[0]!.channels

function buildEmbedder(at: PartBuilder, inputs: number, width: number): { up: Linear; out: Linear } {
  return { up: at.linear('linear_1', inputs, width), out: at.linear('linear_2', width, width) }
}

function buildDown(config: UnetConfig, at: PartBuilder, level: number): UnetStage {
  const { levels, residualBlocks, contextWidth } = config
  const { channels, depthDown } = levels[level]!
  const before = levels[Math.max(0, level - 1)]!.channels
  const time = timeWidth(config)
  const sizes = { channels, contextWidth, depth: depthDown }
  return {
    residuals: at.list('resnets', residualBlocks, (at, i) =>
      buildResidualBlock(at, { channels: i === 0 ? before : channels, outChannels: channels, time }),
    ),
    transformers: at.list('attentions', depthDown > 0 ? residualBlocks : 0, (at) => buildTransformer(at, sizes)),
    ...(level < levels.length - 1 && { resample: at.conv('downsamplers.0.conv', channels, channels) }),
  }
}

/** The stage of the way up that works at the resolution of `level`; what was kept on the way down is joined to its input. */
function buildUp(config: UnetConfig, at: PartBuilder, level: number): UnetStage {
  const { levels, residualBlocks, contextWidth } = config
  const { channels, depthUp } = levels[level]!
  const below = levels[Math.min(levels.length - 1, level + 1)]!.channels
  const above = levels[Math.max(0, level - 1)]!.channels
  const time = timeWidth(config)
  const count = residualBlocks + 1
  return {
    residuals: at.list('resnets', count, (at, i) => {
      const own = i === 0 ? below : channels
      const kept = i === count - 1 ? above : channels
      return buildResidualBlock(at, { channels: own + kept, outChannels: channels, time })
    }),
    transformers: at.list('attentions', depthUp > 0 ? count : 0, (at) =>
      buildTransformer(at, { channels, contextWidth, depth: depthUp }),
    ),
    ...(level > 0 && { resample: at.conv('upsamplers.0.conv', channels, channels) }),
  }
}

export function build(config: UnetConfig, source: WeightSource): UnetWeights {
  const at = new PartBuilder(source)
  const { levels, inChannels, outChannels, contextWidth, added, depthMiddle } = config
  const first = levels[0]!.channels
  const last = levels.at(-1)!.channels
  const time = timeWidth(config)
  const middle = { channels: last, outChannels: last, time }
  return {
    into: at.conv('conv_in', inChannels, first),
    time: buildEmbedder(at.at('time_embedding'), first, time),
    ...(added && { added: buildEmbedder(at.at('add_embedding'), added.inputWidth, time) }),
    down: at.list('down_blocks', levels.length, (at, level) => buildDown(config, at, level)),
    middle: {
      first: buildResidualBlock(at.at('mid_block.resnets.0'), middle),
      transformer: buildTransformer(at.at('mid_block.attentions.0'), {
        channels: last,
        contextWidth,
        depth: depthMiddle,
      }),
      second: buildResidualBlock(at.at('mid_block.resnets.1'), middle),
    },
    up: at.list('up_blocks', levels.length, (at, i) => buildUp(config, at, levels.length - 1 - i)),
    norm: at.norm('conv_norm_out', first),
    out: at.conv('conv_out', first, outChannels),
  }
}
