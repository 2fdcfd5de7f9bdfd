// GPT-Neo's configuration: Hugging Face's keys on the outside, our names inside.
import { activationNames, type Activation } from '../../nn/index.js'
import { readAlternating, writeAlternating } from '../alternating-attention.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type DropoutRates, type LanguageConfig } from '../language-config.js'

export interface GptNeoConfig extends LanguageConfig {
  contextLength: number
  width: number
  layers: number
  heads: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  /** By layer, the keys that a query sees; 0 for all. */
  windows: readonly number[]
  dropout: DropoutRates
}

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'gpt_neo configuration'): GptNeoConfig {
  const reader = new ConfigReader(json, where)
  const width = reader.integer('hidden_size', 2048)
  const headsKey = reader.first('num_heads', 'num_attention_heads')
  const heads = reader.integer(headsKey, 16)
  reader.divides(headsKey, heads, 'hidden_size', width)
  const layers = reader.integer(reader.first('num_layers', 'num_hidden_layers'), 24, { max: 10_000 })
  const config: GptNeoConfig = {
    ...readLanguage(reader, { vocabularySize: 50_257, tiedHead: true, begin: 50_256, end: 50_256 }),
    contextLength: reader.integer('max_position_embeddings', 2048),
    width,
    layers,
    heads,
    feedForward: reader.integer('intermediate_size', 4 * width),
    activation: reader.choice('activation_function', 'gelu_new', activationNames),
    normEpsilon: reader.positive('layer_norm_epsilon', 1e-5),
    windows: readAlternating(reader, layers),
    dropout: {
      embedding: reader.rate('embed_dropout', 0),
      attention: reader.rate('attention_dropout', 0),
      residual: reader.rate('resid_dropout', 0),
    },
  }
  reader.finish()
  return config
}

export function toConfig(config: GptNeoConfig): Record<string, unknown> {
  return {
    architectures: ['GPTNeoForCausalLM'],
    model_type: 'gpt_neo',
    ...writeLanguage(config),
    max_position_embeddings: config.contextLength,
    hidden_size: config.width,
    num_layers: config.layers,
    num_heads: config.heads,
    intermediate_size: config.feedForward,
    activation_function: config.activation,
    layer_norm_epsilon: config.normEpsilon,
    ...writeAlternating(config.windows),
    attention_dropout: config.dropout.attention,
    embed_dropout: config.dropout.embedding,
    resid_dropout: config.dropout.residual,
  }
}
