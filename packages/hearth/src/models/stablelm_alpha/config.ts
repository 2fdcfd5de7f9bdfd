// The configuration of StableLM Alpha v2 (`stablelm_alpha`). Alpha v1 is GPT-NeoX, and its files say so.
import type { Rotary } from '../../nn/index.js'
import { ConfigReader } from '../config-reader.js'
import { readLanguage, writeLanguage, type LanguageConfig } from '../language-config.js'
import { readRotary, readShare } from '../rotary-config.js'

export interface StableLmAlphaConfig extends LanguageConfig {
  width: number
  layers: number
  heads: number
  normEpsilon: number
  /** Share of a head that turns; `rotary.dims` is what comes of it, rounded down. */
  rotaryShare: number
  /** Holds the context length too. */
  rotary: Rotary
}

/** The width inside the feed-forward part, which no key gives: two thirds of 4 D, up to a multiple of 256. */
export const feedForwardOf = ({ width }: Pick<StableLmAlphaConfig, 'width'>): number =>
  256 * Math.ceil(Math.floor((8 * width) / 3) / 256)

/** Reads config.json; see Family.parseConfig. */
export function parseConfig(json: unknown, where = 'stablelm_alpha configuration'): StableLmAlphaConfig {
  const reader = new ConfigReader(json, where)
  const width = reader.integer('hidden_size', 2560)
  const headsKey = reader.first('num_heads', 'num_attention_heads')
  const heads = reader.integer(headsKey, 32)
  reader.divides(headsKey, heads, 'hidden_size', width)
  reader.only('hidden_act', 'silu', 'swish')
  reader.only('rotary_scaling_factor', 1)
  const contextLength = reader.integer('max_position_embeddings', 4096)
  const share = readShare(reader, 'rotary_pct', 0.25)
  const config: StableLmAlphaConfig = {
    ...readLanguage(reader, { vocabularySize: 50_432, tiedHead: false, begin: 0, end: 2 }),
    width,
    layers: reader.integer('num_hidden_layers', 32, { max: 10_000 }),
    heads,
    normEpsilon: reader.positive('norm_eps', 1e-5),
    rotaryShare: share.value,
    rotary: readRotary(reader, {
      headDim: Math.floor(width / heads),
      contextLength,
      thetaKey: 'rotary_emb_base',
      share,
    }),
  }
  reader.finish()
  return config
}

export function toConfig(config: StableLmAlphaConfig): Record<string, unknown> {
  return {
    architectures: ['StableLMAlphaForCausalLM'],
    model_type: 'stablelm_alpha',
    ...writeLanguage(config),
    hidden_size: config.width,
    num_hidden_layers: config.layers,
    num_heads: config.heads,
    hidden_act: 'silu',
    max_position_embeddings: config.rotary.contextLength,
    norm_eps: config.normEpsilon,
    rotary_pct: config.rotaryShare,
    rotary_emb_base: config.rotary.theta,
    rotary_scaling_factor: 1,
  }
}
