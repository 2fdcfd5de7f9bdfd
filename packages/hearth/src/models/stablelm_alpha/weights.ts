// The weights of StableLM Alpha v2: their tree, how they start, their names in Hugging Face files.
import type { Embedding, LayerNorm, Linear } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLayerNorm, buildLinear } from '../build.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import { feedForwardOf, type StableLmAlphaConfig } from './config.js'

export interface StableLmAlphaBlock {
  /** Of both parts. */
  norm: LayerNorm
  attention: {
    /** The rows of each head stand together, its queries, keys and values one after the other: (H·3·E, D) */
    qkv: Linear
    out: Linear
  }
  feedForward: {
    /** The rows of the gate stand behind those of what it gates: (2·F, D) */
    upGate: Linear
    down: Linear
  }
}

export interface StableLmAlphaWeights {
  /** (V, D) */
  embed: Embedding
  blocks: StableLmAlphaBlock[]
  norm: LayerNorm
  /** (V, D); where there is none, the embedding is the head. */
  head?: Linear
}

/** How it starts: every matrix N(0, σ) with σ = `initializerRange`, 0.02; norms weight 1, bias 0. No other biases. */
export function build(config: StableLmAlphaConfig, source: WeightSource): StableLmAlphaWeights {
  const { width, vocabularySize, initializerRange: std } = config
  const feedForward = feedForwardOf(config)
  const linear = (path: string, inputs: number, outputs: number) =>
    buildLinear(source, path, { inputs, outputs, std, bias: false })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    blocks: buildBlocks(config.layers, (at) => ({
      norm: buildLayerNorm(source, `${at}.norm`, width),
      attention: {
        qkv: linear(`${at}.attention.qkv`, width, 3 * width),
        out: linear(`${at}.attention.out`, width, width),
      },
      feedForward: {
        upGate: linear(`${at}.feedForward.upGate`, width, 2 * feedForward),
        down: linear(`${at}.feedForward.down`, feedForward, width),
      },
    })),
    norm: buildLayerNorm(source, 'norm', width),
    ...(config.tiedHead ? {} : { head: linear('head', width, vocabularySize) }),
  }
}

export const names: NameTable = {
  rules: [
    { tree: 'embed', file: 'transformer.embed' },
    { tree: 'blocks.*.norm', file: 'transformer.layers.*.norm' },
    { tree: 'blocks.*.attention.qkv', file: 'transformer.layers.*.attention.qkv_proj' },
    { tree: 'blocks.*.attention.out', file: 'transformer.layers.*.attention.out_proj' },
    { tree: 'blocks.*.feedForward.upGate', file: 'transformer.layers.*.mlp.gate_proj' },
    { tree: 'blocks.*.feedForward.down', file: 'transformer.layers.*.mlp.out_proj' },
    { tree: 'norm', file: 'transformer.final_norm' },
    { tree: 'head', file: 'lm_head' },
  ],
  basePrefix: 'transformer.',
  ignored: [/rotary_emb\.(inv_freq|scale)$/],
  head: 'lm_head.weight',
}
