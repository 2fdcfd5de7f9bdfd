// GPT-2's weights: their tree, how they start, their names in Hugging Face files.
import type { Embedding, LayerNorm, Linear } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLayerNorm, buildLinear } from '../build.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { Gpt2Config } from './config.js'

export interface Gpt2Block {
  attentionNorm: LayerNorm
  attention: {
    /** Queries, keys and values, one after the other: (3·D, D) */
    qkv: Linear
    out: Linear
  }
  feedForwardNorm: LayerNorm
  feedForward: { up: Linear; down: Linear }
}

export interface Gpt2Weights {
  /** (V, D) */
  embed: Embedding
  /** (context, D) */
  positions: Embedding
  blocks: Gpt2Block[]
  norm: LayerNorm
  /** (V, D); where there is none, the embedding is the head. */
  head?: Linear
}

/**
 * How GPT-2 starts (Radford et al. 2019, and OpenAI's code); σ is `initializerRange`, 0.02, and L the number of layers.
 *
 * | weights | start |
 * | --- | --- |
 * | embeddings, positions, qkv, up, head | N(0, σ) |
 * | attention.out, feedForward.down, which add to the residual stream | N(0, σ / √(2 L)) |
 * | biases | 0 |
 * | norms | weight 1, bias 0 |
 */
export function build(config: Gpt2Config, source: WeightSource): Gpt2Weights {
  const { width, feedForward, layers, vocabularySize, initializerRange: std } = config
  const residual = std / Math.sqrt(2 * layers)
  const linear = (path: string, inputs: number, outputs: number, spread: number) =>
    buildLinear(source, path, { inputs, outputs, std: spread, bias: true })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    positions: buildEmbedding(source, 'positions', config.contextLength, width, std),
    blocks: buildBlocks(layers, (at) => ({
      attentionNorm: buildLayerNorm(source, `${at}.attentionNorm`, width),
      attention: {
        qkv: linear(`${at}.attention.qkv`, width, 3 * width, std),
        out: linear(`${at}.attention.out`, width, width, residual),
      },
      feedForwardNorm: buildLayerNorm(source, `${at}.feedForwardNorm`, width),
      feedForward: {
        up: linear(`${at}.feedForward.up`, width, feedForward, std),
        down: linear(`${at}.feedForward.down`, feedForward, width, residual),
      },
    })),
    norm: buildLayerNorm(source, 'norm', width),
    ...(config.tiedHead
      ? {}
      : { head: buildLinear(source, 'head', { inputs: width, outputs: vocabularySize, std, bias: false }) }),
  }
}

export const names: NameTable = {
  rules: [
    { tree: 'embed', file: 'transformer.wte' },
    { tree: 'positions', file: 'transformer.wpe' },
    { tree: 'blocks.*.attentionNorm', file: 'transformer.h.*.ln_1' },
    { tree: 'blocks.*.attention.qkv', file: 'transformer.h.*.attn.c_attn', transpose: true },
    { tree: 'blocks.*.attention.out', file: 'transformer.h.*.attn.c_proj', transpose: true },
    { tree: 'blocks.*.feedForwardNorm', file: 'transformer.h.*.ln_2' },
    { tree: 'blocks.*.feedForward.up', file: 'transformer.h.*.mlp.c_fc', transpose: true },
    { tree: 'blocks.*.feedForward.down', file: 'transformer.h.*.mlp.c_proj', transpose: true },
    { tree: 'norm', file: 'transformer.ln_f' },
    { tree: 'head', file: 'lm_head' },
  ],
  basePrefix: 'transformer.',
  // The causal mask, which old files hold.
  ignored: [/\.attn\.(bias|masked_bias)$/],
  head: 'lm_head.weight',
}
