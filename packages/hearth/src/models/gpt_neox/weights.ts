// GPT-NeoX's weights: their tree, how they start, their names in Hugging Face files.
import type { Embedding, LayerNorm, Linear } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLayerNorm, buildLinear } from '../build.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { GptNeoxConfig } from './config.js'

export interface GptNeoxBlock {
  attentionNorm: LayerNorm
  attention: {
    /** The rows of each head stand together, its queries, keys and values one after the other: (H·3·E, D) */
    qkv: Linear
    out: Linear
  }
  feedForwardNorm: LayerNorm
  feedForward: { up: Linear; down: Linear }
}

export interface GptNeoxWeights {
  /** (V, D) */
  embed: Embedding
  blocks: GptNeoxBlock[]
  norm: LayerNorm
  /** (V, D); where there is none, the embedding is the head. */
  head?: Linear
}

/**
 * How GPT-NeoX-20B and Pythia start (Black et al. 2022): D is the width, L the number of layers.
 *
 * | weights | start |
 * | --- | --- |
 * | embedding, qkv, up, head | "small init", N(0, √(2 / (5 D))) (Nguyen, Salazar 2019) |
 * | attention.out, feedForward.down, which add to the residual stream | "wang init", N(0, 2 / (L √D)) |
 * | biases | 0 |
 * | norms | weight 1, bias 0 |
 */
export function build(config: GptNeoxConfig, source: WeightSource): GptNeoxWeights {
  const { width, feedForward, layers, vocabularySize, attentionBias } = config
  const small = Math.sqrt(2 / (5 * width))
  const wang = 2 / layers / Math.sqrt(width)
  const linear = (path: string, [inputs, outputs]: [number, number], std: number, bias = true) =>
    buildLinear(source, path, { inputs, outputs, std, bias })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, small),
    blocks: buildBlocks(layers, (at) => ({
      attentionNorm: buildLayerNorm(source, `${at}.attentionNorm`, width),
      attention: {
        qkv: linear(`${at}.attention.qkv`, [width, 3 * width], small, attentionBias),
        out: linear(`${at}.attention.out`, [width, width], wang, attentionBias),
      },
      feedForwardNorm: buildLayerNorm(source, `${at}.feedForwardNorm`, width),
      feedForward: {
        up: linear(`${at}.feedForward.up`, [width, feedForward], small),
        down: linear(`${at}.feedForward.down`, [feedForward, width], wang),
      },
    })),
    norm: buildLayerNorm(source, 'norm', width),
    ...(config.tiedHead ? {} : { head: linear('head', [width, vocabularySize], small, false) }),
  }
}

export const names: NameTable = {
  rules: [
    { tree: 'embed', file: 'gpt_neox.embed_in' },
    { tree: 'blocks.*.attentionNorm', file: 'gpt_neox.layers.*.input_layernorm' },
    { tree: 'blocks.*.attention.qkv', file: 'gpt_neox.layers.*.attention.query_key_value' },
    { tree: 'blocks.*.attention.out', file: 'gpt_neox.layers.*.attention.dense' },
    { tree: 'blocks.*.feedForwardNorm', file: 'gpt_neox.layers.*.post_attention_layernorm' },
    { tree: 'blocks.*.feedForward.up', file: 'gpt_neox.layers.*.mlp.dense_h_to_4h' },
    { tree: 'blocks.*.feedForward.down', file: 'gpt_neox.layers.*.mlp.dense_4h_to_h' },
    { tree: 'norm', file: 'gpt_neox.final_layer_norm' },
    { tree: 'head', file: 'embed_out' },
  ],
  basePrefix: 'gpt_neox.',
  // The causal mask and the rotary frequencies, which old files hold.
  ignored: [/\.attention\.(bias|masked_bias)$/, /rotary_emb\.inv_freq$/],
  head: 'embed_out.weight',
}
