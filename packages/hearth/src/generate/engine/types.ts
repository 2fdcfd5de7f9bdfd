// What an engine is asked and what it answers: token ids in, token ids out. Text (stop strings, decoding, templates) is the
// business of the layer above (text.ts, hearth/serve).
import type { LanguageModel } from '../../models/index.js'
import type { GenerationSettings } from '../settings.js'

/** How tokens are chosen: see GenerationSettings, and samplers.ts for the order. */
export type SamplingSettings = Omit<GenerationSettings, 'maxTokens' | 'eosId'>

/**
 * What to do with a request that has no room in the model's context, or in the engine's pages.
 * `error`: refuse it before anything is computed. `end`: generate until the context is full, and finish with `overflow`.
 * `drop-oldest`: leave out tokens from the beginning of the prompt until it fits; `Finish.droppedTokens` says how many.
 */
export type OverflowPolicy = 'error' | 'end' | 'drop-oldest'

/** One text to go on with. */
export interface GenerateRequest {
  /** At least one token, all in the vocabulary. */
  prompt: ArrayLike<number>
  /** Most tokens to generate; 0 only scores or reads the prompt. @default what fits into the context */
  maxTokens?: number
  /** What is not given is the model's own (generation_config.json), else GenerationSettings' default. */
  sampling?: SamplingSettings
  /** Tokens that end the text; they are not given out. @default those of the model's files */
  stopTokens?: readonly number[]
  /** Gives each token its log probability, and this many most likely ones beside it; 0 for the token's alone. */
  logprobs?: number
  /** The same for the tokens of the prompt: see Generation.promptScores. Such a prompt is read whole, without reuse. */
  promptLogprobs?: number
  /** Allows at each place only some of the tokens (grammar, JSON schema). It belongs to this request alone. */
  constraint?: Constraint
  /** A name of Engine.setAdapter(). @default the model as it is */
  adapter?: string
  /** @default 'error' */
  overflow?: OverflowPolicy
  /** Ends the request, with the reason `cancelled`; its place is free at the next step. */
  signal?: AbortSignal
}

export interface TokenLogprob {
  token: number
  /** Natural logarithm of the probability that the model itself gives, before any sampling setting. */
  logprob: number
}

export interface GeneratedToken {
  token: number
  /** Where the request asks for it; of a prompt, missing for its first token, before which there is nothing. */
  logprob?: number
  /** Most likely first. */
  top?: readonly TokenLogprob[]
}

/**
 * `stop`: a stop token, or the constraint is complete; `length`: maxTokens; `cancelled`: the signal, or the caller left the
 * loop; `overflow`: the context is full (only with the policy `end`).
 */
export type FinishReason = 'stop' | 'length' | 'cancelled' | 'overflow'

export interface Finish {
  reason: FinishReason
  /** As read: without what was dropped. */
  promptTokens: number
  /** Of them, those whose keys and values an earlier request left behind. */
  cachedTokens: number
  /** Tokens given out. */
  tokens: number
  /** The stop token that came, where one did. */
  stopToken?: number
  /** Left out of the beginning of the prompt, only with the policy `drop-oldest`. */
  droppedTokens: number
}

/**
 * A request in flight: an async iterable of its tokens, for one loop. Leaving the loop cancels the request. A failure of the
 * engine is thrown by the loop and rejects both promises; whoever does not look at them is not troubled by that.
 */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** One entry a token of the prompt, where the request asked for promptLogprobs; else empty. */
  readonly promptScores: Promise<readonly GeneratedToken[]>
  readonly finish: Promise<Finish>
  /** Ends it with the reason `cancelled`, as the signal does. */
  cancel(): void
}

/**
 * Which tokens may come next. `allowed` is asked once a token, then `advance` is told which one came; stop tokens are the
 * engine's business: they are allowed where `canEnd` is true, and nothing else is where `done` is.
 */
export interface Constraint {
  /** Bit `id % 32` of word `id / 32` is set where token `id` may come next. Valid until the next advance(). */
  allowed(): Uint32Array
  /** @throws HearthError for a token that is not allowed */
  advance(token: number): void
  /** Whether the text is complete as it is. */
  readonly canEnd: boolean
  /** Whether nothing may follow. */
  readonly done: boolean
}

export interface EngineOptions {
  /** Requests that are decoded together; others wait in the order in which they came. @default 8 */
  maxBatch?: number
  /** Tokens of a prompt that are read between two tokens of the others; of a long prompt at least 33. @default 256 */
  prefillChunk?: number
  /**
   * Tokens whose keys and values fit, of all requests together. @default the model's context for each of maxBatch, as far
   * as a quarter of the machine's memory goes
   */
  cacheTokens?: number
  /** How keys and values are kept; int8 has a scale for each token and head. @default that of the weights */
  cacheDtype?: 'float32' | 'bfloat16' | 'int8'
  /** Proposes tokens that the model then checks several at once; the output stays the same. */
  draft?: DraftOptions
}

/** Where proposals come from: the text itself (`lookup`), or a smaller model with the same vocabulary. */
export type DraftOptions =
  | { kind: 'lookup'; /** Most tokens at once. @default 4 */ tokens?: number }
  | { kind: 'model'; model: LanguageModel; /** Most tokens at once. @default 4 */ tokens?: number }

export interface EngineStats {
  /** Requests that wait, and those that are read or decoded now. */
  waiting: number
  running: number
  /** Since the engine began. */
  finished: number
  promptTokens: number
  cachedTokens: number
  generatedTokens: number
  /** Proposed by the draft, and accepted. */
  draftedTokens: number
  acceptedTokens: number
  /** Tokens whose places in the cache are taken by running requests, kept for reuse, and there are in all. */
  cache: { used: number; kept: number; capacity: number }
}
