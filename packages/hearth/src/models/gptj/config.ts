// GPT-J's configuration: Hugging Face's keys on the outside, our names inside.
import { activationNames, type Activation, type Rotary } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type DropoutRates, type LanguageConfig } from '../language-config.js'

export interface GptJConfig extends LanguageConfig {
  width: number
  layers: number
  heads: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  /** Holds the context length too. */
  rotary: Rotary
  dropout: DropoutRates
}

/** Reads config.json; see Family.parseConfig. A `rotary_dim` of null turns the whole head. */
export function parseConfig(json: unknown, where = 'gptj configuration'): GptJConfig {
  const reader = new ConfigReader(json, where)
  const width = reader.integer('n_embd', 4096)
  const heads = reader.integer('n_head', 16)
  reader.divides('n_head', heads, 'n_embd', width)
  reader.only('tie_word_embeddings', false)
  const headDim = Math.floor(width / heads)
  const dims = reader.optional('rotary_dim', 64) ?? headDim
  if (dims % 2 === 1 || dims > headDim)
    reader.issue('rotary_dim', `must be even and at most the width of a head (${headDim}), got ${dims}`)
  const contextLength = reader.integer(reader.first('n_positions', 'n_ctx'), 2048)
  const config: GptJConfig = {
    ...readLanguage(reader, { vocabularySize: 50_400, tiedHead: false, begin: 50_256, end: 50_256 }),
    width,
    layers: reader.integer('n_layer', 28, { max: 10_000 }),
    heads,
    feedForward: reader.integer('n_inner', 4 * width),
    activation: reader.choice('activation_function', 'gelu_new', activationNames),
    normEpsilon: reader.positive('layer_norm_epsilon', 1e-5),
    rotary: { dims, theta: 10_000, contextLength, scaling: { kind: 'default' } },
    dropout: {
      embedding: reader.rate('embd_pdrop', 0),
      attention: reader.rate('attn_pdrop', 0),
      residual: reader.rate('resid_pdrop', 0),
    },
  }
  reader.finish()
  return config
}

export function toConfig(config: GptJConfig): Record<string, unknown> {
  return {
    architectures: ['GPTJForCausalLM'],
    model_type: 'gptj',
    ...writeLanguage(config),
    n_positions: config.rotary.contextLength,
    n_ctx: config.rotary.contextLength,
    n_embd: config.width,
    n_layer: config.layers,
    n_head: config.heads,
    n_inner: config.feedForward,
    rotary_dim: config.rotary.dims,
    activation_function: config.activation,
    layer_norm_epsilon: config.normEpsilon,
    scale_attn_weights: true,
    attn_pdrop: config.dropout.attention,
    embd_pdrop: config.dropout.embedding,
    resid_pdrop: config.dropout.residual,
  }
}
