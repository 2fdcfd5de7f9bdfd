// Fields that every family's configuration has under the same Hugging Face keys.
import type { ConfigReader } from './config-reader.js'

export interface LanguageConfig {
  vocabularySize: number
  /** Whether the head is the token embedding. */
  tiedHead: boolean
  /** Standard deviation of new weights. */
  initializerRange: number
  /** Token that begins a text, where there is one. */
  beginTokens: readonly number[]
  /** Tokens that end one. */
  endTokens: readonly number[]
}

/** The shares of what is forgotten in training (Srivastava et al. 2014). */
export interface DropoutRates {
  /** Of the embedded tokens. */
  embedding: number
  /** Of the attention's shares. */
  attention: number
  /** Of what each part adds to the residual stream. */
  residual: number
}

export function readLanguage(
  reader: ConfigReader,
  defaults: { vocabularySize: number; tiedHead: boolean; begin?: number; end?: number },
): LanguageConfig {
  // Weights in another form than plain numbers: their tensors have other names and shapes.
  if (reader.has('quantization_config')) reader.issue('quantization_config', 'quantised weights are not supported')
  return {
    vocabularySize: reader.integer('vocab_size', defaults.vocabularySize),
    tiedHead: reader.flag('tie_word_embeddings', defaults.tiedHead),
    initializerRange: reader.positive('initializer_range', 0.02),
    beginTokens: reader.tokens('bos_token_id', defaults.begin === undefined ? [] : [defaults.begin]),
    endTokens: reader.tokens('eos_token_id', defaults.end === undefined ? [] : [defaults.end]),
  }
}

/** One number where there is one, a list for several, null for none, as Hugging Face writes token numbers. */
const tokenField = (tokens: readonly number[]) => (tokens.length > 1 ? tokens : (tokens[0] ?? null))

export function writeLanguage(config: LanguageConfig): Record<string, unknown> {
  return {
    vocab_size: config.vocabularySize,
    tie_word_embeddings: config.tiedHead,
    initializer_range: config.initializerRange,
    bos_token_id: tokenField(config.beginTokens),
    eos_token_id: tokenField(config.endTokens),
    use_cache: true,
  }
}
