// What an evaluation asks of a model, wherever that is, and how a text is cut into what is given and what is scored.
import { DataError } from '@hearth/torch'
import type { Tokenizer } from '../../data/index.js'
import type { Likelihood } from '../scoring/metrics.js'

export interface ContinuationRequest {
  context: string
  continuation: string
}

export interface TextRequest {
  context: string
  /** Where the text ends. */
  until: readonly string[]
  maxTokens: number
  /** 0 for greedy. */
  temperature: number
}

export interface AskOptions {
  /** Told after each answer. */
  onAnswer?: () => void
  signal?: AbortSignal | undefined
}

/** All answers are in the order of the requests, and none depends on the other requests. */
export interface EvaluatedModel {
  readonly name: string
  /** Where it is, for the results: `hearth` or `local-completions` or `local-chat-completions`. */
  readonly kind: string
  continuations(requests: readonly ContinuationRequest[], options?: AskOptions): Promise<Likelihood[]>
  /** The log probability of whole texts. */
  texts(texts: readonly string[], options?: AskOptions): Promise<number[]>
  generate(requests: readonly TextRequest[], options?: AskOptions): Promise<string[]>
}

/** Ids before, and ids that are scored. */
export interface TokenPair {
  context: Int32Array
  continuation: Int32Array
}

/** The token before which there is nothing. */
export function prefixToken(tokenizer: Tokenizer): number {
  const prefix = tokenizer.beginOfText ?? tokenizer.endOfText
  if (prefix !== undefined) return prefix
  throw new DataError(
    'the tokenizer has no token that begins or ends texts, so a text cannot be scored from its beginning',
  )
}

/**
 * White space at the end of the context belongs to the continuation, as tokens have it before words; and what is scored is
 * all that the whole has more tokens than the context. Source: lm-evaluation-harness, api/model.py.
 */
export function encodePair(tokenizer: Tokenizer, { context, continuation }: ContinuationRequest): TokenPair {
  if (context === '') {
    const prefix = prefixToken(tokenizer)
    const ids = tokenizer.encode(continuation, { addSpecialTokens: false })
    // What begins with the prefix itself is not given it twice.
    if (ids[0] === prefix) return { context: ids.subarray(0, 1), continuation: ids.subarray(1) }
    return { context: Int32Array.of(prefix), continuation: ids }
  }
  const kept = context.trimEnd()
  const whole = encode(tokenizer, context + continuation)
  const before = encode(tokenizer, kept === '' ? '' : kept)
  return { context: whole.subarray(0, before.length), continuation: whole.subarray(before.length) }
}

/** As Hugging Face's tokenizers: with the token that begins texts where they add it, and not twice. */
export function encode(tokenizer: Tokenizer, text: string): Int32Array {
  const begin = tokenizer.beginOfText
  const begun = begin !== undefined && text.startsWith(tokenizer.decode([begin], { skipSpecialTokens: false }))
  return tokenizer.encode(text, begun ? { addSpecialTokens: false } : {})
}

/**
 * Cuts a text into windows that do not overlap in what they score; the first begins after the prefix, each other after the
 * last token before it, with as many before that as fit.
 */
export function rollingPairs(ids: Int32Array, prefix: number, longest: number): TokenPair[] {
  const pairs: TokenPair[] = []
  for (let done = 0; done < ids.length;) {
    const end = Math.min(done + longest, ids.length)
    const start = done === 0 ? 0 : Math.max(0, end - longest - 1)
    const before = ids.subarray(start, done)
    pairs.push({ context: done === 0 ? Int32Array.of(prefix) : before, continuation: ids.subarray(done, end) })
    done = end
  }
  return pairs
}
