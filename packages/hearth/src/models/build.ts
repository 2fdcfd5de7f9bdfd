// The layers of every family, asked from a source of weights.
import type { Embedding, LayerNorm, Linear, RmsNorm } from '../nn/index.js'
import type { WeightSource } from './weight-source.js'

const normal = (std: number) => ({ kind: 'normal', std }) as const

/** Size and start of a linear layer. */
export interface LinearSpec {
  inputs: number
  outputs: number
  /** Standard deviation of the weights; biases start at 0. */
  std: number
  bias: boolean
}

export function buildLinear(source: WeightSource, path: string, { inputs, outputs, std, bias }: LinearSpec): Linear {
  const weight = source.tensor(`${path}.weight`, [outputs, inputs], normal(std))
  return bias ? { weight, bias: source.tensor(`${path}.bias`, [outputs], { kind: 'zeros' }) } : { weight }
}

export function buildEmbedding(
  source: WeightSource,
  path: string,
  rows: number,
  width: number,
  std: number,
): Embedding {
  return { weight: source.tensor(`${path}.weight`, [rows, width], normal(std)) }
}

export function buildLayerNorm(source: WeightSource, path: string, width: number): LayerNorm {
  return {
    weight: source.tensor(`${path}.weight`, [width], { kind: 'ones' }),
    bias: source.tensor(`${path}.bias`, [width], { kind: 'zeros' }),
  }
}

export function buildRmsNorm(source: WeightSource, path: string, width: number): RmsNorm {
  return { weight: source.tensor(`${path}.weight`, [width], { kind: 'ones' }) }
}

/** `build(path, layer)` for each block, at `blocks.0`, `blocks.1`, ... */
export function buildBlocks<Block>(layers: number, build: (path: string) => Block): Block[] {
  return Array.from({ length: layers }, (_, layer) => build(`blocks.${layer}`))
}
