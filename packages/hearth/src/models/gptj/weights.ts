// GPT-J's weights: their tree, how they start, their names in Hugging Face files.
import type { Embedding, LayerNorm, Linear } from '../../nn/index.js'
import { buildBlocks, buildEmbedding, buildLayerNorm, buildLinear } from '../build.js'
import type { NameTable } from '../names.js'
import type { WeightSource } from '../weight-source.js'
import type { GptJConfig } from './config.js'

export interface GptJBlock {
  /** Of both parts. */
  norm: LayerNorm
  /** Without biases. */
  attention: { query: Linear; key: Linear; value: Linear; out: Linear }
  feedForward: { up: Linear; down: Linear }
}

export interface GptJWeights {
  /** (V, D) */
  embed: Embedding
  blocks: GptJBlock[]
  norm: LayerNorm
  /** (V, D), with a bias. */
  head: Linear
}

/** How GPT-J starts: every matrix N(0, σ) with σ = `initializerRange`, 0.02; biases 0; norms weight 1, bias 0. */
export function build(config: GptJConfig, source: WeightSource): GptJWeights {
  const { width, feedForward, vocabularySize, initializerRange: std } = config
  const linear = (path: string, inputs: number, outputs: number, bias: boolean) =>
    buildLinear(source, path, { inputs, outputs, std, bias })
  return {
    embed: buildEmbedding(source, 'embed', vocabularySize, width, std),
    blocks: buildBlocks(config.layers, (at) => ({
      norm: buildLayerNorm(source, `${at}.norm`, width),
      attention: {
        query: linear(`${at}.attention.query`, width, width, false),
        key: linear(`${at}.attention.key`, width, width, false),
        value: linear(`${at}.attention.value`, width, width, false),
        out: linear(`${at}.attention.out`, width, width, false),
      },
      feedForward: {
        up: linear(`${at}.feedForward.up`, width, feedForward, true),
        down: linear(`${at}.feedForward.down`, feedForward, width, true),
      },
    })),
    norm: buildLayerNorm(source, 'norm', width),
    head: linear('head', width, vocabularySize, true),
  }
}

export const names: NameTable = {
  rules: [
    { tree: 'embed', file: 'transformer.wte' },
    { tree: 'blocks.*.norm', file: 'transformer.h.*.ln_1' },
    { tree: 'blocks.*.attention.query', file: 'transformer.h.*.attn.q_proj' },
    { tree: 'blocks.*.attention.key', file: 'transformer.h.*.attn.k_proj' },
    { tree: 'blocks.*.attention.value', file: 'transformer.h.*.attn.v_proj' },
    { tree: 'blocks.*.attention.out', file: 'transformer.h.*.attn.out_proj' },
    { tree: 'blocks.*.feedForward.up', file: 'transformer.h.*.mlp.fc_in' },
    { tree: 'blocks.*.feedForward.down', file: 'transformer.h.*.mlp.fc_out' },
    { tree: 'norm', file: 'transformer.ln_f' },
    { tree: 'head', file: 'lm_head' },
  ],
  basePrefix: 'transformer.',
  // The causal mask and the rotary table, which old files hold.
  ignored: [/\.attn\.(bias|masked_bias|embed_positions)$/],
  head: 'lm_head.weight',
}
