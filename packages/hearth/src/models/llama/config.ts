// LLaMA's configuration: Hugging Face's keys on the outside, our names inside. Mistral, Mixtral and Qwen read the same
// keys with defaults of their own.
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
  /** Of queries, keys and values. */
  attentionBias: boolean
  /** Of what the attention adds to the residual stream. */
  outBias: boolean
  feedForwardBias: boolean
  /** Whether the queries and keys of each head are normalised before they turn. */
  queryKeyNorm: boolean
  /** By layer, the keys that a query sees, 0 for all; empty where every layer sees all. */
  windows: readonly number[]
  attentionDropout: number
  /** Holds the context length too. */
  rotary: Rotary
}

/** What a family's configuration means by a key that is not there. */
export interface LlamaDefaults {
  vocabularySize: number
  begin?: number
  end?: number
  feedForward: number
  contextLength: number
  /** As many as heads when it is not given. */
  keyValueHeads?: number
  /** Width / heads when it is not given. */
  headDim?: number
  normEpsilon?: number
  theta?: number
}

/** The keys that these families share. */
export function readLlama(reader: ConfigReader, defaults: LlamaDefaults): LlamaConfig {
  const width = reader.integer('hidden_size', 4096)
  const heads = reader.integer('num_attention_heads', 32)
  const keyValueHeads = reader.integer('num_key_value_heads', defaults.keyValueHeads ?? heads)
  if (!reader.has('head_dim') && defaults.headDim === undefined)
    reader.divides('num_attention_heads', heads, 'hidden_size', width)
  reader.divides('num_key_value_heads', keyValueHeads, 'num_attention_heads', heads)
  const headDim = reader.integer('head_dim', defaults.headDim ?? Math.floor(width / heads))
  reader.only('partial_rotary_factor', 1)
  reader.object('rope_parameters')?.only('partial_rotary_factor', 1)
  const { vocabularySize, begin, end, theta } = defaults
  return {
    ...readLanguage(reader, { vocabularySize, tiedHead: false, begin, end }),
    width,
    layers: reader.integer('num_hidden_layers', 32, { max: 10_000 }),
    heads,
    keyValueHeads,
    headDim,
    feedForward: reader.integer('intermediate_size', defaults.feedForward),
    activation: reader.choice('hidden_act', 'silu', activationNames),
    normEpsilon: reader.positive('rms_norm_eps', defaults.normEpsilon ?? 1e-6),
    attentionBias: false,
    outBias: false,
    feedForwardBias: false,
    queryKeyNorm: false,
    windows: [],
    attentionDropout: reader.rate('attention_dropout', 0),
    rotary: readRotary(reader, {
      headDim,
      contextLength: reader.integer('max_position_embeddings', defaults.contextLength),
      thetaKey: 'rope_theta',
      theta,
      share: { key: reader.first('head_dim', 'hidden_size'), value: 1 },
    }),
  }
}

export function writeLlama(config: LlamaConfig): Record<string, unknown> {
  return {
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
    attention_dropout: config.attentionDropout,
    rope_theta: config.rotary.theta,
    ...writeRotary(config.rotary),
  }
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'llama configuration'): LlamaConfig {
  const reader = new ConfigReader(json, where)
  const attentionBias = reader.flag('attention_bias', false)
  const config: LlamaConfig = {
    ...readLlama(reader, { vocabularySize: 32_000, begin: 1, end: 2, feedForward: 11_008, contextLength: 2048 }),
    attentionBias,
    outBias: attentionBias,
    feedForwardBias: reader.flag('mlp_bias', false),
  }
  reader.finish()
  return config
}

export function toConfig(config: LlamaConfig): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    ...writeLlama(config),
    attention_bias: config.attentionBias,
    mlp_bias: config.feedForwardBias,
    pretraining_tp: 1,
  }
}
