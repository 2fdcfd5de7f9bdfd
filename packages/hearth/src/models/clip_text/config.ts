// Configuration of CLIP's text encoder: transformers' keys on the outside, our names inside.
import { activationNames, type Activation } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'

export interface ClipTextConfig {
  vocabularySize: number
  width: number
  layers: number
  heads: number
  feedForward: number
  activation: Activation
  normEpsilon: number
  /** Tokens of a text, its begin and end counted. */
  contextLength: number
  /** Width of the pooled text; undefined where the encoder has no projection. */
  projection: number | undefined
  /** The token whose state stands for the text; the token of the largest number in a text where files say 2. */
  endToken: number
}

/** Reads config.json; see ImagePart.parseConfig. */
export function parseConfig(json: unknown, where = 'CLIP text encoder configuration'): ClipTextConfig {
  const outer = new ConfigReader(json, where)
  const reader = outer.object('text_config') ?? outer
  const width = reader.integer('hidden_size', 512)
  const heads = reader.integer('num_attention_heads', 8)
  reader.divides('num_attention_heads', heads, 'hidden_size', width)
  const architectures = outer.value('architectures')
  const projects = Array.isArray(architectures) && architectures.includes('CLIPTextModelWithProjection')
  const config: ClipTextConfig = {
    vocabularySize: reader.integer('vocab_size', 49_408),
    width,
    layers: reader.integer('num_hidden_layers', 12, { max: 1000 }),
    heads,
    feedForward: reader.integer('intermediate_size', 2048),
    activation: reader.choice('hidden_act', 'quick_gelu', activationNames),
    normEpsilon: reader.positive('layer_norm_eps', 1e-5),
    contextLength: reader.integer('max_position_embeddings', 77),
    projection: projects ? reader.integer('projection_dim', 512) : undefined,
    endToken: reader.integer('eos_token_id', 49_407, { min: 0 }),
  }
  outer.finish()
  return config
}
