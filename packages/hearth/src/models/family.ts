// What a family of models is: one architecture with its configuration, its maths and the names of its weights in files.
// A family is a folder: config.ts, model.ts, weights.ts and a test. Nothing here knows any of them.
import type { Tensor } from '@hearth/torch'
import type { AttentionCache, Linear } from '../nn/index.js'
import type { NameTable } from './names.js'
import type { WeightSource } from './weight-source.js'

export interface ForwardOptions {
  /** Tokens that were read before; their keys and values are used, and those of `ids` added. Records no gradients. */
  cache?: AttentionCache
  /** Logits of the last position alone, (B, 1, V). */
  lastOnly?: boolean
  /**
   * (B, T) integers: neighbours with the same number are one document. A token sees only its own document, and learned
   * positions count from its beginning. For whole texts: not with a cache.
   */
  documents?: Tensor
  /** In training: the configuration's dropout applies, with masks that are functions of this integer. */
  dropoutSeed?: number
  /** Runs one block on its input; activation checkpointing runs it without recording, and again in the backward pass. */
  runBlock?: (block: (x: Tensor) => Tensor, x: Tensor) => Tensor
}

/** The sizes of a model, under the same names for every family. */
export interface ModelShape {
  layers: number
  width: number
  heads: number
  keyValueHeads: number
  headDim: number
  /** Width inside the feed-forward part. */
  feedForward: number
  vocabularySize: number
  /** Tokens that the model can read at once. */
  contextLength: number
  /** Weights that are trained; a tied head counts once. */
  parameters: number
  /** Those of lookup tables that no matrix product uses: learned positions, and token embeddings where the head is its own. */
  embeddingParameters: number
  /** Those of the experts that a token does not visit; 0 where there are none when it is not given. */
  idleParameters?: number
  /** By layer, the keys that a query sees, 0 for all; every layer sees all when it is not given. */
  windows?: readonly number[]
}

/** One architecture. Methods, so that a `Family<GptConfig, GptWeights>` is a `Family`. */
export interface Family<Config = unknown, Weights = unknown> {
  /** Hugging Face's `model_type`. */
  readonly name: string
  /** Hugging Face's `architectures[0]`. */
  readonly architecture: string
  /** Other spellings of the two that files have; what is written has `name` and `architecture`. */
  readonly otherNames?: readonly string[]
  readonly names: NameTable
  /**
   * Reads a Hugging Face config.json of transformers v4 or v5; missing keys get its defaults, unknown ones are ignored.
   * @param where names the configuration in the error
   * @throws ConfigError listing everything that is impossible or not supported
   */
  parseConfig(json: unknown, where?: string): Config
  /** The config.json, readable by transformers v4 and v5. */
  toConfig(config: Config): Record<string, unknown>
  /** The tree of weights, each asked from the source. */
  build(config: Config, source: WeightSource): Weights
  /**
   * The residual stream after the last block and norm.
   * @param ids (B, T) int64
   * @returns (B, T, D)
   * @throws HearthError when the ids have another form, or the text is longer than the context or the cache
   */
  hidden(weights: Weights, config: Config, ids: Tensor, options?: ForwardOptions): Tensor
  /** From the width of the model to its vocabulary, (V, D): applied to `hidden` it gives the logits. */
  projection(weights: Weights): Linear
  /**
   * The projection of hidden(ids).
   * @param ids (B, T) int64
   * @returns logits (B, T, V), or (B, 1, V) with `lastOnly`
   */
  forward(weights: Weights, config: Config, ids: Tensor, options?: ForwardOptions): Tensor
  shape(config: Config): ModelShape
}

/** How a model's makers mean text to be generated with it; the names are those of GenerationSettings (hearth/generate). */
export interface GenerationDefaults {
  maxTokens?: number
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  repetitionPenalty?: number
  /** Tokens that end a text, in place of the configuration's. */
  endTokens?: readonly number[]
}

/** A model: plain data and the functions of its family. */
export interface LanguageModel<Config = unknown, Weights = unknown> {
  family: Family<Config, Weights>
  config: Config
  weights: Weights
  /** Where its files say so. */
  generation?: GenerationDefaults | undefined
}
