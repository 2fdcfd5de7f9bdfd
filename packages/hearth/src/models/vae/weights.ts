// Weights of the autoencoder, by diffusers' names.
import type { Conv2d, GroupNorm, Linear } from '../../nn/index.js'
import { PartBuilder } from '../image-part.js'
import { buildResidualBlock, type ResidualBlock } from '../residual-block.js'
import type { WeightSource } from '../weight-source.js'
import type { VaeConfig } from './config.js'

export interface PixelAttention {
  norm: GroupNorm
  query: Linear
  key: Linear
  value: Linear
  out: Linear
}

export interface VaeMiddle {
  first: ResidualBlock
  attention?: PixelAttention
  second: ResidualBlock
}

export interface VaeStage {
  residuals: ResidualBlock[]
  /** To the next resolution; the last stage has none. */
  resample?: Conv2d
}

/** The encoder or the decoder. */
export interface VaeHalf {
  into: Conv2d
  stages: VaeStage[]
  middle: VaeMiddle
  norm: GroupNorm
  out: Conv2d
}

export interface VaeWeights {
  encoder: VaeHalf
  /** 1 × 1 */
  quant?: Conv2d
  postQuant?: Conv2d
  decoder: VaeHalf
}

function buildAttention(at: PartBuilder, width: number): PixelAttention {
  return {
    norm: at.norm('group_norm', width),
    query: at.linear('to_q', width, width),
    key: at.linear('to_k', width, width),
    value: at.linear('to_v', width, width),
    out: at.linear('to_out.0', width, width),
  }
}

function buildMiddle({ channels, middleAttention }: VaeConfig, at: PartBuilder): VaeMiddle {
  const width = channels.at(-1)!
  const sizes = { channels: width, outChannels: width }
  return {
    first: buildResidualBlock(at.at('resnets.0'), sizes),
    ...(middleAttention && { attention: buildAttention(at.at('attentions.0'), width) }),
    second: buildResidualBlock(at.at('resnets.1'), sizes),
  }
}

function buildStages(
  at: PartBuilder,
  { list, sampler, widths, blocks }: { list: string; sampler: string; widths: readonly number[]; blocks: number },
): VaeStage[] {
  return at.list(list, widths.length, (at, level) => {
    const outChannels = widths[level]!
    const before = widths[Math.max(0, level - 1)]!
    return {
      residuals: at.list('resnets', blocks, (at, i) =>
        buildResidualBlock(at, { channels: i === 0 ? before : outChannels, outChannels }),
      ),
      ...(level < widths.length - 1 && { resample: at.conv(`${sampler}.0.conv`, outChannels, outChannels) }),
    }
  })
}

export function build(config: VaeConfig, source: WeightSource): VaeWeights {
  const root = new PartBuilder(source)
  const { channels, imageChannels, latentChannels, residualBlocks } = config
  const [first, last] = [channels[0]!, channels.at(-1)!]
  const half = (name: string, [inputs, begin, end, outputs]: number[], stages: (at: PartBuilder) => VaeStage[]) => {
    const at = root.at(name)
    return {
      into: at.conv('conv_in', inputs!, begin!),
      stages: stages(at),
      middle: buildMiddle(config, at.at('mid_block')),
      norm: at.norm('conv_norm_out', end!),
      out: at.conv('conv_out', end!, outputs!),
    }
  }
  const down = { list: 'down_blocks', sampler: 'downsamplers', widths: channels, blocks: residualBlocks }
  const up = { list: 'up_blocks', sampler: 'upsamplers', widths: channels.toReversed(), blocks: residualBlocks + 1 }
  return {
    encoder: half('encoder', [imageChannels, first, last, 2 * latentChannels], (at) => buildStages(at, down)),
    ...(config.quantConv && { quant: root.conv('quant_conv', 2 * latentChannels, 2 * latentChannels, 1) }),
    ...(config.postQuantConv && { postQuant: root.conv('post_quant_conv', latentChannels, latentChannels, 1) }),
    decoder: half('decoder', [latentChannels, last, first, imageChannels], (at) => buildStages(at, up)),
  }
}
