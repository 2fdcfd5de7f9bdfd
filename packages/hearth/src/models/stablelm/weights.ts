// StableLM's weights: their tree, how they start, their names in Hugging Face files.
import type { Embedding, LayerNorm, Linear, RmsNorm } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLayerNorm, buildLinear, buildRmsNorm } from '../build.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { StableLmConfig } from './config.js'

/** A norm without a bias, for one head: (E). */
export type HeadNorm = RmsNorm

export interface StableLmBlock {
  attentionNorm: LayerNorm
  attention: {
    query: Linear
    key: Linear
    value: Linear
    out: Linear
    /** One for each head; only where the configuration says so. */
    queryNorm?: HeadNorm[]
    keyNorm?: HeadNorm[]
  }
  /** Where the two parts stand side by side, there is one norm for both. */
  feedForwardNorm?: LayerNorm
  feedForward: { gate: Linear; up: Linear; down: Linear }
}

export interface StableLmWeights {
  /** (V, D) */
  embed: Embedding
  blocks: StableLmBlock[]
  norm: LayerNorm
  /** (V, D); where there is none, the embedding is the head. */
  head?: Linear
}

/** How StableLM starts: every matrix N(0, σ) with σ = `initializerRange`, 0.02; biases 0; norms weight 1, bias 0. */
export function build(config: StableLmConfig, source: WeightSource): StableLmWeights {
  const { width, feedForward, vocabularySize, initializerRange: std } = config
  const linear = (path: string, inputs: number, outputs: number) =>
    buildLinear(source, path, { inputs, outputs, std, bias: false })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    blocks: buildBlocks(config.layers, (at) => ({
      attentionNorm: buildLayerNorm(source, `${at}.attentionNorm`, width),
      attention: buildAttention(config, source, `${at}.attention`),
      ...(config.parallelResidual ? {} : { feedForwardNorm: buildLayerNorm(source, `${at}.feedForwardNorm`, width) }),
      feedForward: {
        gate: linear(`${at}.feedForward.gate`, width, feedForward),
        up: linear(`${at}.feedForward.up`, width, feedForward),
        down: linear(`${at}.feedForward.down`, feedForward, width),
      },
    })),
    norm: buildLayerNorm(source, 'norm', width),
    ...(config.tiedHead ? {} : { head: linear('head', width, vocabularySize) }),
  }
}

function buildAttention(config: StableLmConfig, source: WeightSource, at: string): StableLmBlock['attention'] {
  const { width, heads, keyValueHeads, headDim, attentionBias, initializerRange: std } = config
  const linear = (name: string, outputs: number, bias: boolean) =>
    buildLinear(source, `${at}.${name}`, { inputs: width, outputs, std, bias })
  const norms = (name: string, count: number) =>
    Array.from({ length: count }, (_, head) => buildRmsNorm(source, `${at}.${name}.${head}`, headDim))
  return {
    query: linear('query', heads * headDim, attentionBias),
    key: linear('key', keyValueHeads * headDim, attentionBias),
    value: linear('value', keyValueHeads * headDim, attentionBias),
    out: linear('out', width, false),
    ...(config.queryKeyNorm ? { queryNorm: norms('queryNorm', heads), keyNorm: norms('keyNorm', keyValueHeads) } : {}),
  }
}

export const names: NameTable = {
  rules: [
    { tree: 'embed', file: 'model.embed_tokens' },
    { tree: 'blocks.*.attentionNorm', file: 'model.layers.*.input_layernorm' },
    { tree: 'blocks.*.attention.query', file: 'model.layers.*.self_attn.q_proj' },
    { tree: 'blocks.*.attention.key', file: 'model.layers.*.self_attn.k_proj' },
    { tree: 'blocks.*.attention.value', file: 'model.layers.*.self_attn.v_proj' },
    { tree: 'blocks.*.attention.out', file: 'model.layers.*.self_attn.o_proj' },
    { tree: 'blocks.*.attention.queryNorm.*', file: 'model.layers.*.self_attn.q_layernorm.norms.*' },
    { tree: 'blocks.*.attention.keyNorm.*', file: 'model.layers.*.self_attn.k_layernorm.norms.*' },
    { tree: 'blocks.*.feedForwardNorm', file: 'model.layers.*.post_attention_layernorm' },
    { tree: 'blocks.*.feedForward.gate', file: 'model.layers.*.mlp.gate_proj' },
    { tree: 'blocks.*.feedForward.up', file: 'model.layers.*.mlp.up_proj' },
    { tree: 'blocks.*.feedForward.down', file: 'model.layers.*.mlp.down_proj' },
    { tree: 'norm', file: 'model.norm' },
    { tree: 'head', file: 'lm_head' },
  ],
  basePrefix: 'model.',
  ignored: [/rotary_emb\.inv_freq$/],
  head: 'lm_head.weight',
}
