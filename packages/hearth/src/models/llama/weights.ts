// LLaMA's weights: their tree, how they start, their names in Hugging Face files.
import type { Embedding, Linear, RmsNorm } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLinear, buildRmsNorm } from '../build.js'
import type { NameRule, NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { LlamaConfig } from './config.js'

export interface LlamaAttention {
  query: Linear
  key: Linear
  value: Linear
  out: Linear
  /** (E), of each head by itself; only where the configuration says so. */
  queryNorm?: RmsNorm
  keyNorm?: RmsNorm
}

export interface LlamaBlock {
  attentionNorm: RmsNorm
  attention: LlamaAttention
  feedForwardNorm: RmsNorm
  feedForward: { gate: Linear; up: Linear; down: Linear }
}

export interface LlamaWeights {
  /** (V, D) */
  embed: Embedding
  blocks: LlamaBlock[]
  norm: RmsNorm
  /** (V, D); where there is none, the embedding is the head. */
  head?: Linear
}

/**
 * How LLaMA starts (Hugging Face's LlamaPreTrainedModel; Touvron et al. 2023 do not say); σ is `initializerRange`, 0.02.
 *
 * | weights | start |
 * | --- | --- |
 * | embedding, every linear layer, head | N(0, σ) |
 * | biases, where there are any | 0 |
 * | norms | 1 |
 */
export function build(config: LlamaConfig, source: WeightSource): LlamaWeights {
  const { width, feedForward, vocabularySize, initializerRange: std } = config
  const linear = (path: string, inputs: number, outputs: number, bias: boolean) =>
    buildLinear(source, path, { inputs, outputs, std, bias })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    blocks: buildBlocks(config.layers, (at) => ({
      attentionNorm: buildRmsNorm(source, `${at}.attentionNorm`, width),
      attention: buildAttention(config, source, `${at}.attention`),
      feedForwardNorm: buildRmsNorm(source, `${at}.feedForwardNorm`, width),
      feedForward: {
        gate: linear(`${at}.feedForward.gate`, width, feedForward, config.feedForwardBias),
        up: linear(`${at}.feedForward.up`, width, feedForward, config.feedForwardBias),
        down: linear(`${at}.feedForward.down`, feedForward, width, config.feedForwardBias),
      },
    })),
    norm: buildRmsNorm(source, 'norm', width),
    ...(config.tiedHead ? {} : { head: linear('head', width, vocabularySize, false) }),
  }
}

/** The attention's part of a block, at a path. */
export function buildAttention(config: LlamaConfig, source: WeightSource, at: string): LlamaAttention {
  const { width, headDim, heads, keyValueHeads, attentionBias, outBias, initializerRange: std } = config
  const linear = (name: string, inputs: number, outputs: number, bias: boolean) =>
    buildLinear(source, `${at}.${name}`, { inputs, outputs, std, bias })
  return {
    query: linear('query', width, heads * headDim, attentionBias),
    key: linear('key', width, keyValueHeads * headDim, attentionBias),
    value: linear('value', width, keyValueHeads * headDim, attentionBias),
    out: linear('out', heads * headDim, width, outBias),
    ...(config.queryKeyNorm
      ? {
          queryNorm: buildRmsNorm(source, `${at}.queryNorm`, headDim),
          keyNorm: buildRmsNorm(source, `${at}.keyNorm`, headDim),
        }
      : {}),
  }
}

/** The parts that LLaMA's descendants name alike. */
export const attentionNames: readonly NameRule[] = [
  { tree: 'embed', file: 'model.embed_tokens' },
  { tree: 'blocks.*.attentionNorm', file: 'model.layers.*.input_layernorm' },
  { tree: 'blocks.*.attention.query', file: 'model.layers.*.self_attn.q_proj' },
  { tree: 'blocks.*.attention.key', file: 'model.layers.*.self_attn.k_proj' },
  { tree: 'blocks.*.attention.value', file: 'model.layers.*.self_attn.v_proj' },
  { tree: 'blocks.*.attention.out', file: 'model.layers.*.self_attn.o_proj' },
  { tree: 'blocks.*.attention.queryNorm', file: 'model.layers.*.self_attn.q_norm' },
  { tree: 'blocks.*.attention.keyNorm', file: 'model.layers.*.self_attn.k_norm' },
  { tree: 'blocks.*.feedForwardNorm', file: 'model.layers.*.post_attention_layernorm' },
  { tree: 'norm', file: 'model.norm' },
  { tree: 'head', file: 'lm_head' },
]

export const names: NameTable = {
  rules: [
    ...attentionNames,
    { tree: 'blocks.*.feedForward.gate', file: 'model.layers.*.mlp.gate_proj' },
    { tree: 'blocks.*.feedForward.up', file: 'model.layers.*.mlp.up_proj' },
    { tree: 'blocks.*.feedForward.down', file: 'model.layers.*.mlp.down_proj' },
  ],
  basePrefix: 'model.',
  ignored: [/rotary_emb\.inv_freq$/],
  head: 'lm_head.weight',
}
