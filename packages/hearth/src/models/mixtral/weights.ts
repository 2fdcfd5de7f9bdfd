// Mixtral's weights: their tree, how they start, their names in Hugging Face files.
import type { Expert, Linear, RmsNorm } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLinear, buildRmsNorm } from '../build.js'
import { attentionNames, buildAttention, type LlamaAttention, type LlamaWeights } from '../llama/weights.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { MixtralConfig } from './config.js'

export interface MixtralBlock {
  attentionNorm: RmsNorm
  attention: LlamaAttention
  feedForwardNorm: RmsNorm
  /** (X, D) */
  router: Linear
  experts: Expert[]
}

export interface MixtralWeights extends Pick<LlamaWeights, 'embed' | 'norm' | 'head'> {
  blocks: MixtralBlock[]
}

/** Starts as LLaMA does: N(0, σ) with σ = `initializerRange`, 0.02, for every matrix, routers too; norms 1. */
export function build(config: MixtralConfig, source: WeightSource): MixtralWeights {
  const { width, feedForward, experts, vocabularySize, initializerRange: std } = config
  const linear = (path: string, inputs: number, outputs: number) =>
    buildLinear(source, path, { inputs, outputs, std, bias: false })
  const buildExpert = (at: string): Expert => ({
    gate: linear(`${at}.gate`, width, feedForward),
    up: linear(`${at}.up`, width, feedForward),
    down: linear(`${at}.down`, feedForward, width),
  })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    blocks: buildBlocks(config.layers, (at) => ({
      attentionNorm: buildRmsNorm(source, `${at}.attentionNorm`, width),
      attention: buildAttention(config, source, `${at}.attention`),
      feedForwardNorm: buildRmsNorm(source, `${at}.feedForwardNorm`, width),
      router: linear(`${at}.router`, width, experts),
      experts: Array.from({ length: experts }, (_, expert) => buildExpert(`${at}.experts.${expert}`)),
    })),
    norm: buildRmsNorm(source, 'norm', width),
    ...(config.tiedHead ? {} : { head: linear('head', width, vocabularySize) }),
  }
}

export const names: NameTable = {
  rules: [
    ...attentionNames,
    { tree: 'blocks.*.router', file: 'model.layers.*.block_sparse_moe.gate' },
    { tree: 'blocks.*.experts.*.gate', file: 'model.layers.*.block_sparse_moe.experts.*.w1' },
    { tree: 'blocks.*.experts.*.up', file: 'model.layers.*.block_sparse_moe.experts.*.w3' },
    { tree: 'blocks.*.experts.*.down', file: 'model.layers.*.block_sparse_moe.experts.*.w2' },
  ],
  basePrefix: 'model.',
  ignored: [/rotary_emb\.inv_freq$/],
  head: 'lm_head.weight',
}
