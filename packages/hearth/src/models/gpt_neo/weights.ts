// GPT-Neo's weights: their tree, how they start, their names in Hugging Face files.
import type { Embedding, LayerNorm, Linear } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLayerNorm, buildLinear } from '../build.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { GptNeoConfig } from './config.js'

export interface GptNeoBlock {
  attentionNorm: LayerNorm
  /** Only `out` has a bias. */
  attention: { query: Linear; key: Linear; value: Linear; out: Linear }
  feedForwardNorm: LayerNorm
  feedForward: { up: Linear; down: Linear }
}

export interface GptNeoWeights {
  /** (V, D) */
  embed: Embedding
  /** (context, D) */
  positions: Embedding
  blocks: GptNeoBlock[]
  norm: LayerNorm
  /** (V, D); where there is none, the embedding is the head. */
  head?: Linear
}

/** How GPT-Neo starts: every matrix N(0, σ) with σ = `initializerRange`, 0.02; biases 0; norms weight 1, bias 0. */
export function build(config: GptNeoConfig, source: WeightSource): GptNeoWeights {
  const { width, feedForward, vocabularySize, initializerRange: std } = config
  const linear = (path: string, inputs: number, outputs: number, bias: boolean) =>
    buildLinear(source, path, { inputs, outputs, std, bias })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    positions: buildEmbedding(source, 'positions', config.contextLength, width, std),
    blocks: buildBlocks(config.layers, (at) => ({
      attentionNorm: buildLayerNorm(source, `${at}.attentionNorm`, width),
      attention: {
        query: linear(`${at}.attention.query`, width, width, false),
        key: linear(`${at}.attention.key`, width, width, false),
        value: linear(`${at}.attention.value`, width, width, false),
        out: linear(`${at}.attention.out`, width, width, true),
      },
      feedForwardNorm: buildLayerNorm(source, `${at}.feedForwardNorm`, width),
      feedForward: {
        up: linear(`${at}.feedForward.up`, width, feedForward, true),
        down: linear(`${at}.feedForward.down`, feedForward, width, true),
      },
    })),
    norm: buildLayerNorm(source, 'norm', width),
    ...(config.tiedHead ? {} : { head: linear('head', width, vocabularySize, false) }),
  }
}

export const names: NameTable = {
  rules: [
    { tree: 'embed', file: 'transformer.wte' },
    { tree: 'positions', file: 'transformer.wpe' },
    { tree: 'blocks.*.attentionNorm', file: 'transformer.h.*.ln_1' },
    { tree: 'blocks.*.attention.query', file: 'transformer.h.*.attn.attention.q_proj' },
    { tree: 'blocks.*.attention.key', file: 'transformer.h.*.attn.attention.k_proj' },
    { tree: 'blocks.*.attention.value', file: 'transformer.h.*.attn.attention.v_proj' },
    { tree: 'blocks.*.attention.out', file: 'transformer.h.*.attn.attention.out_proj' },
    { tree: 'blocks.*.feedForwardNorm', file: 'transformer.h.*.ln_2' },
    { tree: 'blocks.*.feedForward.up', file: 'transformer.h.*.mlp.c_fc' },
    { tree: 'blocks.*.feedForward.down', file: 'transformer.h.*.mlp.c_proj' },
    { tree: 'norm', file: 'transformer.ln_f' },
    { tree: 'head', file: 'lm_head' },
  ],
  basePrefix: 'transformer.',
  // The causal mask, which old files hold.
  ignored: [/\.attn\.attention\.(bias|masked_bias)$/],
  head: 'lm_head.weight',
}
