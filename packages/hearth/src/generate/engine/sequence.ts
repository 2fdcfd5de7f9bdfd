// One request on its way: its text so far, how its next token is chosen, and when it ends. Not here: the model and the
// cache (engine.ts).
import { ConfigError, DataError } from '@hearth/torch'
import { hashCounters } from '../../data/index.js'
import type { LanguageModel } from '../../models/index.js'
import { checkIds, endTokensOf, ownSettings } from '../generate.js'
import { sampleToken } from '../samplers.js'
import { resolveSettings, type ResolvedSettings } from '../settings.js'
import { withLogprobs } from './logprobs.js'
import { TokenStream } from './token-stream.js'
import type { Constraint, Finish, FinishReason, GeneratedToken, GenerateRequest } from './types.js'

export class Sequence {
  readonly stream: TokenStream
  readonly adapter: string
  /** Prompt and generated tokens. */
  readonly tokens: number[]
  readonly promptLength: number
  readonly scores: GeneratedToken[] = []
  readonly wantsScores: boolean
  /** Tokens of the prompt that an earlier request left in the cache. */
  cachedTokens = 0
  readonly #settings: ResolvedSettings
  readonly #request: GenerateRequest
  readonly #stops: Set<number>
  readonly #seen: Set<number>
  readonly #counts = new Map<number, number>()
  readonly #constraint: Constraint | undefined
  readonly #last: number
  readonly #dropped: number
  readonly #whenFull: FinishReason
  #stopToken: number | undefined

  /**
   * @throws ConfigError for settings out of range, DataError for a prompt that cannot be used
   */
  constructor(model: LanguageModel, request: GenerateRequest, room: number, onCancel: () => void) {
    const { prompt, dropped, last, whenFull } = placeOf(model, request, room)
    this.tokens = Array.from(prompt)
    this.promptLength = prompt.length
    this.adapter = request.adapter ?? ''
    this.wantsScores = request.promptLogprobs !== undefined
    this.stream = new TokenStream(onCancel)
    this.#settings = resolveSettings({ ...ownSettings(model), ...given(request.sampling ?? {}), maxTokens: 1 })
    checkCounts(request)
    this.#request = request
    this.#stops = new Set(request.stopTokens ?? endTokensOf(model))
    this.#seen = new Set(prompt)
    this.#constraint = request.constraint
    this.#last = last
    this.#dropped = dropped
    this.#whenFull = whenFull
  }

  /** Most tokens that it can come to hold in the cache. */
  get most(): number {
    return Math.max(this.promptLength, this.#last - 1)
  }

  get cancelled(): boolean {
    return this.#request.signal?.aborted === true
  }

  /** Whether the most likely token is always taken, and nothing else decides. */
  get greedy(): boolean {
    return this.#settings.temperature === 0
  }

  /** How it ends without another token, or undefined. */
  endsNow(): FinishReason | undefined {
    if (this.tokens.length >= this.#last) return this.#whenFull
    return this.#constraint?.done === true ? 'stop' : undefined
  }

  /**
   * Chooses the next token and gives it out.
   * @param logits (V) of the last token
   * @returns how the sequence ends with it, or undefined
   */
  take(logits: Float32Array): FinishReason | undefined {
    const position = this.tokens.length
    const text = { seen: this.#seen, counts: this.#counts, allowed: this.#allowed() }
    const token = sampleToken(logits, text, this.#settings, hashCounters(this.#settings.seed, position) / 2 ** 53)
    if (this.#stops.has(token)) {
      this.#stopToken = token
      return 'stop'
    }
    this.#constraint?.advance(token)
    this.tokens.push(token)
    this.#seen.add(token)
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1)
    const { logprobs } = this.#request
    this.stream.push(logprobs === undefined ? { token } : withLogprobs(logits, token, logprobs))
    return this.endsNow()
  }

  /** The score of the prompt's token at `index` from the logits before it. */
  score(index: number, logits: Float32Array): void {
    this.scores.push(withLogprobs(logits, this.tokens[index]!, this.#request.promptLogprobs!))
  }

  finish(reason: FinishReason): Finish {
    return {
      reason,
      promptTokens: this.promptLength,
      cachedTokens: this.cachedTokens,
      tokens: this.tokens.length - this.promptLength,
      ...(this.#stopToken !== undefined && { stopToken: this.#stopToken }),
      droppedTokens: this.#dropped,
    }
  }

  #allowed(): Uint32Array | undefined {
    if (this.#constraint === undefined) return undefined
    const allowed = this.#constraint.allowed().slice()
    for (const id of this.#stops) {
      const bit = 1 << (id & 31)
      if (this.#constraint.canEnd) allowed[id >>> 5]! |= bit
      else allowed[id >>> 5]! &= ~bit
    }
    return allowed
  }
}

/** Where a request's text begins and ends, by its policy. */
function placeOf(
  model: LanguageModel,
  { prompt: ids, maxTokens, overflow = 'error' }: GenerateRequest,
  room: number,
): { prompt: Int32Array; dropped: number; last: number; whenFull: FinishReason } {
  const shape = model.family.shape(model.config)
  const prompt = checkIds(ids, shape, 'the prompt')
  const whole = Math.min(shape.contextLength, room)
  const last = prompt.length + (maxTokens ?? Math.max(1, whole - prompt.length))
  if (last <= whole) return { prompt, dropped: 0, last, whenFull: 'length' }
  const wanted = last - prompt.length
  if (overflow === 'drop-oldest' && wanted < whole)
    return { prompt: prompt.subarray(last - whole), dropped: last - whole, last: whole, whenFull: 'length' }
  if (overflow === 'end' && prompt.length < whole) return { prompt, dropped: 0, last: whole, whenFull: 'overflow' }
  const limit = whole < shape.contextLength ? `the engine's cache of ${whole}` : `the model's context of ${whole}`
  throw new DataError(`the prompt has ${prompt.length} tokens, and with ${wanted} more does not fit into ${limit}`, {
    remedy: 'shorten the prompt, ask for fewer tokens, or choose an overflow policy',
  })
}

/** A setting that is there and undefined is not given. */
const given = <T extends object>(settings: T): T =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T

function checkCounts(request: GenerateRequest): void {
  const issues = (['maxTokens', 'logprobs', 'promptLogprobs'] as const).flatMap((path) => {
    const value = request[path]
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return []
    return [{ path, message: `must be an integer from 0, got ${value}` }]
  })
  if (issues.length > 0) throw new ConfigError('request', issues)
}
