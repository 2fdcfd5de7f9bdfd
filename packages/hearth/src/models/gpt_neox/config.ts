// GPT-NeoX's configuration: Hugging Face's keys on the outside, our names inside.
import { activationNames, type Activation, type Rotary } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type LanguageConfig } from '../language-config.js'
import { readRotary, readShare, writeRotary } from '../rotary-config.js'

export interface GptNeoxConfig extends LanguageConfig {
  width: number
  layers: number
  heads: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  attentionBias: boolean
  /** Attention and feed-forward part read the same residual stream, side by side. */
  parallelResidual: boolean
  /** Share of a head that turns; `rotary.dims` is what comes of it, rounded down. */
  rotaryShare: number
  /** Holds the context length too. */
  rotary: Rotary
  attentionDropout: number
  /** Of the embedded tokens and of what each part adds to the residual stream. */
  hiddenDropout: number
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'gpt_neox configuration'): GptNeoxConfig {
  const reader = new ConfigReader(json, where)
  const width = reader.integer('hidden_size', 6144)
  const heads = reader.integer('num_attention_heads', 64)
  reader.divides('num_attention_heads', heads, 'hidden_size', width)
  const headDim = Math.floor(width / heads)
  const contextLength = reader.integer('max_position_embeddings', 2048)
  const share = readShare(reader, 'rotary_pct', 0.25)
  const config: GptNeoxConfig = {
    ...readLanguage(reader, { vocabularySize: 50_432, tiedHead: false, begin: 0, end: 2 }),
    width,
    layers: reader.integer('num_hidden_layers', 44, { max: 10_000 }),
    heads,
    feedForward: reader.integer('intermediate_size', 24_576),
    activation: reader.choice('hidden_act', 'gelu', activationNames),
    normEpsilon: reader.positive('layer_norm_eps', 1e-5),
    attentionBias: reader.flag('attention_bias', true),
    parallelResidual: reader.flag('use_parallel_residual', true),
    rotaryShare: share.value,
    rotary: readRotary(reader, { headDim, contextLength, thetaKey: 'rotary_emb_base', share }),
    attentionDropout: reader.rate('attention_dropout', 0),
    hiddenDropout: reader.rate('hidden_dropout', 0),
  }
  reader.finish()
  return config
}

export function toConfig(config: GptNeoxConfig): Record<string, unknown> {
  const { rope_scaling, rope_parameters } = writeRotary(config.rotary)
  return {
    architectures: ['GPTNeoXForCausalLM'],
    model_type: 'gpt_neox',
    ...writeLanguage(config),
    hidden_size: config.width,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    hidden_act: config.activation,
    max_position_embeddings: config.rotary.contextLength,
    layer_norm_eps: config.normEpsilon,
    attention_bias: config.attentionBias,
    attention_dropout: config.attentionDropout,
    hidden_dropout: config.hiddenDropout,
    use_parallel_residual: config.parallelResidual,
    rotary_pct: config.rotaryShare,
    rotary_emb_base: config.rotary.theta,
    rope_scaling,
    rope_parameters: { ...rope_parameters, partial_rotary_factor: config.rotaryShare },
  }
}
