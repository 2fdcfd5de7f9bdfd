// StableLM's configuration, in both spellings: `stablelm` of transformers, and `stablelm_epoch` of the code that came with
// the first uploads. What is written is the first.
import { activationNames, type Activation, type Rotary } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type LanguageConfig } from '../language-config.js'
import { readRotary, readShare, writeRotary } from '../rotary-config.js'

export interface StableLmConfig extends LanguageConfig {
  width: number
  layers: number
  heads: number
  keyValueHeads: number
  headDim: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  /** Of queries, keys and values. */
  attentionBias: boolean
  /** Whether the queries and keys of each head have a norm of their own. */
  queryKeyNorm: boolean
  /** Attention and feed-forward part read the same norm of the residual stream, side by side. */
  parallelResidual: boolean
  /** Share of a head that turns; `rotary.dims` is what comes of it, rounded down. */
  rotaryShare: number
  /** Holds the context length too. */
  rotary: Rotary
  attentionDropout: number
  /** Of what the feed-forward part adds to the residual stream. */
  hiddenDropout: number
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'stablelm configuration'): StableLmConfig {
  const reader = new ConfigReader(json, where)
  const width = reader.integer('hidden_size', 2560)
  const heads = reader.integer('num_attention_heads', 32)
  const keyValueHeads = reader.integer('num_key_value_heads', heads)
  reader.divides('num_attention_heads', heads, 'hidden_size', width)
  reader.divides('num_key_value_heads', keyValueHeads, 'num_attention_heads', heads)
  reader.only('rotary_scaling_factor', 1)
  const headDim = Math.floor(width / heads)
  const contextLength = reader.integer('max_position_embeddings', 4096)
  const share = readShare(reader, 'rope_pct', 0.25)
  const token = reader.value('model_type') === 'stablelm_epoch' ? 2 : 0
  const config: StableLmConfig = {
    ...readLanguage(reader, { vocabularySize: 50_304, tiedHead: false, begin: 0, end: token }),
    width,
    layers: reader.integer('num_hidden_layers', 32, { max: 10_000 }),
    heads,
    keyValueHeads,
    headDim,
    feedForward: reader.integer('intermediate_size', 6912),
    activation: reader.choice('hidden_act', 'silu', activationNames),
    normEpsilon: reader.positive(reader.first('layer_norm_eps', 'norm_eps'), 1e-5),
    attentionBias: reader.flag('use_qkv_bias', false),
    queryKeyNorm: reader.flag('qk_layernorm', false),
    parallelResidual: reader.flag('use_parallel_residual', false),
    rotaryShare: share.value,
    rotary: readRotary(reader, { headDim, contextLength, thetaKey: 'rope_theta', share }),
    attentionDropout: reader.rate('attention_dropout', 0),
    hiddenDropout: reader.rate('hidden_dropout', 0),
  }
  reader.finish()
  return config
}

export function toConfig(config: StableLmConfig): Record<string, unknown> {
  const { rope_scaling, rope_parameters } = writeRotary(config.rotary)
  return {
    architectures: ['StableLmForCausalLM'],
    model_type: 'stablelm',
    ...writeLanguage(config),
    hidden_size: config.width,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    hidden_act: config.activation,
    max_position_embeddings: config.rotary.contextLength,
    layer_norm_eps: config.normEpsilon,
    use_qkv_bias: config.attentionBias,
    qk_layernorm: config.queryKeyNorm,
    use_parallel_residual: config.parallelResidual,
    attention_dropout: config.attentionDropout,
    hidden_dropout: config.hiddenDropout,
    partial_rotary_factor: config.rotaryShare,
    rope_theta: config.rotary.theta,
    rope_scaling,
    rope_parameters: { ...rope_parameters, partial_rotary_factor: config.rotaryShare },
  }
}
