// GPT-2's configuration: Hugging Face's keys on the outside, our names inside.
import { activationNames, type Activation } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type DropoutRates, type LanguageConfig } from '../language-config.js'

export interface Gpt2Config extends LanguageConfig {
  contextLength: number
  width: number
  layers: number
  heads: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  /** Scores divided by √(width of a head). */
  scaleScores: boolean
  /** Scores divided by the number of the layer, counted from 1, too. */
  scaleScoresByLayer: boolean
  /** By layer, the keys that a query sees, 0 for all; GPT-2's layers see all, and the list is empty. */
  windows: readonly number[]
  dropout: DropoutRates
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'gpt2 configuration'): Gpt2Config {
  const reader = new ConfigReader(json, where)
  const config = readGpt2(reader)
  reader.finish()
  return config
}

/** The keys of config.json that GPT-2 and GPT-3 share. */
export function readGpt2(reader: ConfigReader): Gpt2Config {
  const width = reader.integer('n_embd', 768)
  const heads = reader.integer('n_head', 12)
  reader.divides('n_head', heads, 'n_embd', width)
  reader.only('add_cross_attention', false)
  return {
    ...readLanguage(reader, { vocabularySize: 50_257, tiedHead: true, begin: 50_256, end: 50_256 }),
    contextLength: reader.integer(reader.first('n_positions', 'n_ctx'), 1024),
    width,
    layers: reader.integer('n_layer', 12, { max: 10_000 }),
    heads,
    feedForward: reader.integer('n_inner', 4 * width),
    activation: reader.choice('activation_function', 'gelu_new', activationNames),
    normEpsilon: reader.positive('layer_norm_epsilon', 1e-5),
    scaleScores: reader.flag('scale_attn_weights', true),
    scaleScoresByLayer: reader.flag('scale_attn_by_inverse_layer_idx', false),
    windows: [],
    dropout: {
      embedding: reader.rate('embd_pdrop', 0.1),
      attention: reader.rate('attn_pdrop', 0.1),
      residual: reader.rate('resid_pdrop', 0.1),
    },
  }
}

export function toConfig(config: Gpt2Config): Record<string, unknown> {
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    ...writeLanguage(config),
    n_positions: config.contextLength,
    n_ctx: config.contextLength,
    n_embd: config.width,
    n_layer: config.layers,
    n_head: config.heads,
    n_inner: config.feedForward,
    activation_function: config.activation,
    layer_norm_epsilon: config.normEpsilon,
    scale_attn_weights: config.scaleScores,
    scale_attn_by_inverse_layer_idx: config.scaleScoresByLayer,
    reorder_and_upcast_attn: false,
    attn_pdrop: config.dropout.attention,
    embd_pdrop: config.dropout.embedding,
    resid_pdrop: config.dropout.residual,
  }
}
