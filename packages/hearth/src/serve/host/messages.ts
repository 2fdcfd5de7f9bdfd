// What the server and the process of a model say to each other. Plain data: it goes through a pipe.
import type { Finish, GeneratedToken, SamplingSettings } from '../../generate/index.js'
import type { GenerationDefaults } from '../../models/index.js'

/** Which model a process runs. */
export interface ModelSpec {
  /** A Hugging Face folder or a GGUF file. */
  path: string
  /** An adapter folder that belongs to it: the model is what it gives. */
  worn?: string | undefined
  /** Adapters that requests choose, by name. */
  adapters: Readonly<Record<string, string>>
  quantize?: 'int8' | 'int4' | undefined
  /** Threads of its arithmetic. */
  threads?: number | undefined
}

/** What the server has to know of a model. */
export interface ModelFacts {
  contextLength: number
  vocabularySize: number
  /** Tokens that end a text. */
  endTokens: readonly number[]
  /** How its makers mean it to be sampled. */
  generation: GenerationDefaults
}

/** How tokens are chosen; nothing is left to the model's own files. */
export type Sampling = Required<SamplingSettings>

/** What the text has to be. */
export type TextForm = { kind: 'json' } | { kind: 'json-schema'; schema: Readonly<Record<string, unknown>> }

/** One text to write. */
export interface GenerationRequest {
  prompt: readonly number[]
  maxTokens: number
  sampling: Sampling
  stopTokens: readonly number[]
  /** Alternatives to list for each token; the token's own log probability comes with 0 too. */
  logprobs?: number | undefined
  /** The same for the tokens of the prompt. */
  promptLogprobs?: number | undefined
  form?: TextForm | undefined
  adapter?: string | undefined
}

/** A token with how likely it was. */
export type ScoredToken = GeneratedToken

/** How a text ended. */
export type HostEnding = Pick<Finish, 'reason' | 'promptTokens' | 'cachedTokens' | 'tokens'>

export type ToHost =
  | { kind: 'open'; spec: ModelSpec }
  | { kind: 'generate'; id: number; request: GenerationRequest }
  | { kind: 'abort'; id: number }
  | { kind: 'embed'; id: number; tokens: readonly number[]; adapter?: string | undefined }
  | { kind: 'adapter'; id: number; name: string; folder: string }
  | { kind: 'removeAdapter'; id: number; name: string }
  | { kind: 'stats'; id: number }

export type FromHost =
  | { kind: 'ready'; facts: ModelFacts }
  /** The model cannot be opened: it makes no sense to try again. */
  | { kind: 'refused'; message: string }
  | { kind: 'prompt'; id: number; tokens: readonly ScoredToken[] }
  | { kind: 'tokens'; id: number; tokens: readonly ScoredToken[] }
  | { kind: 'end'; id: number; ending: HostEnding }
  | { kind: 'answer'; id: number; value: unknown }
  /** `mistake`: the request's own fault. */
  | { kind: 'failed'; id: number; message: string; mistake: boolean }
