// LLaMA's configuration: Hugging Face's keys on the outside, our names inside.
import { activationNames, type Activation, type Rotary } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type LanguageConfig } from '../language-config.js'
import { readRotary, writeRotary } from '../rotary-config.js'

export interface LlamaConfig extends LanguageConfig {
  width: number
  layers: number
  heads: number
  keyValueHeads: number
  headDim: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  attentionBias: boolean
  feedForwardBias: boolean
  /** Holds the context length too. */
  rotary: Rotary
}

/** Reads config.json; see Family.parseConfig. Dropout is not read: no family here trains with it. */
export function parseConfig(json: unknown, where = 'llama configuration'): LlamaConfig {
  const reader = new ConfigReader(json, where)
  const width = reader.integer('hidden_size', 4096)
  const heads = reader.integer('num_attention_heads', 32)
  const keyValueHeads = reader.integer('num_key_value_heads', heads)
  if (!reader.has('head_dim')) reader.divides('num_attention_heads', heads, 'hidden_size', width)
  reader.divides('num_key_value_heads', keyValueHeads, 'num_attention_heads', heads)
  const headDim = reader.integer('head_dim', Math.floor(width / heads))
  reader.only('partial_rotary_factor', 1)
  reader.object('rope_parameters')?.only('partial_rotary_factor', 1)
  const contextLength = reader.integer('max_position_embeddings', 2048)
  const config: LlamaConfig = {
    ...readLanguage(reader, { vocabularySize: 32_000, tiedHead: false, begin: 1, end: 2 }),
    width,
    layers: reader.integer('num_hidden_layers', 32, { max: 10_000 }),
    heads,
    keyValueHeads,
    headDim,
    feedForward: reader.integer('intermediate_size', 11_008),
    activation: reader.choice('hidden_act', 'silu', activationNames),
    normEpsilon: reader.positive('rms_norm_eps', 1e-6),
    attentionBias: reader.flag('attention_bias', false),
    feedForwardBias: reader.flag('mlp_bias', false),
    rotary: readRotary(reader, {
      headDim,
      contextLength,
      thetaKey: 'rope_theta',
      share: { key: reader.first('head_dim', 'hidden_size'), value: 1 },
    }),
  }
  reader.finish()
  return config
}

export function toConfig(config: LlamaConfig): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...writeLanguage(config),
    hidden_size: config.width,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headDim,
    hidden_act: config.activation,
    max_position_embeddings: config.rotary.contextLength,
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.attentionBias,
    attention_dropout: 0,
    mlp_bias: config.feedForwardBias,
    pretraining_tp: 1,
    rope_theta: config.rotary.theta,
    ...writeRotary(config.rotary),
  }
}
