// How likely a model finds a text: nats per token, in windows that slide over texts longer than its context.
// T tokens, D width, V vocabulary.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ConfigError, DataError, noGrad, scope } from '@hearth/torch'
import { logits, type LanguageModel } from '../models/index.js'
import { crossEntropy, linear } from '../nn/index.js'
import { leavesOf } from '../tree/index.js'
import { checkIds, idsTensor } from './generate.js'

export interface ScoreOptions {
  /** Tokens that the model reads at once. @default its context */
  window?: number
  /**
   * Tokens between the starts of two windows. Below `window`, each scored token has at least window - stride tokens
   * before it, at window / stride times the work. @default window
   */
  stride?: number
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal
  onProgress?: (scored: number, of: number) => void
}

export interface Score {
  /** -log likelihood of the text given its first token, in nats. */
  nats: number
  /** Tokens scored: all but the first. */
  tokens: number
  /** Nats per token. */
  loss: number
  perplexity: number
  /** Nats of each scored token; `perToken[i]` is that of `ids[i + 1]`. */
  perToken: Float32Array
}

/** Logits that are computed at once: 64 MB of float32. */
const LOGITS_AT_ONCE = 2 ** 24

/**
 * Scores each token but the first once, given the tokens before it in its window. Sums are in float64.
 * @throws ConfigError for an impossible window or stride, DataError for ids that cannot be scored
 * @example
 * const { loss, nats } = await scoreTokens(model, tokenizer.encode(text))
 * const bitsPerByte = nats / Math.LN2 / Buffer.byteLength(text)
 */
export async function scoreTokens(
  model: LanguageModel,
  ids: ArrayLike<number>,
  options: ScoreOptions = {},
): Promise<Score> {
  const shape = model.family.shape(model.config)
  const { window, stride } = resolveWindow(options, shape.contextLength)
  const tokens = checkIds(ids, shape, 'the text')
  if (tokens.length < 2)
    throw new DataError('one token cannot be scored: there is nothing before it', { remedy: 'give a longer text' })
  const perToken = new Float32Array(tokens.length - 1)
  const rows = Math.max(1, Math.floor(LOGITS_AT_ONCE / shape.vocabularySize))
  let scored = 0
  for (let start = 0; scored < perToken.length; start += stride) {
    options.signal?.throwIfAborted()
    const end = Math.min(start + window, perToken.length)
    scoreWindow(model, tokens, start, perToken.subarray(scored, end), scored - start, rows)
    scored = end
    options.onProgress?.(scored, perToken.length)
    await nextTurn()
  }
  const nats = perToken.reduce((sum, value) => sum + value, 0)
  const loss = nats / perToken.length
  return { nats, tokens: perToken.length, loss, perplexity: Math.exp(loss), perToken }
}

/** Fills `out` with the nats of the tokens behind position `start + skip`; the model reads from `start` on. */
function scoreWindow(
  { family, weights, config }: LanguageModel,
  tokens: Int32Array,
  start: number,
  out: Float32Array,
  skip: number,
  rows: number,
): void {
  const like = leavesOf(weights)[0]!
  const end = start + skip + out.length
  noGrad(() =>
    scope(() => {
      const hidden = family.hidden(weights, config, idsTensor(tokens.subarray(start, end), like)) // (1, T, D)
      for (let done = 0; done < out.length; done += rows) {
        const count = Math.min(rows, out.length - done)
        scope(() => {
          const some = linear(family.projection(weights), hidden.narrow(1, skip + done, count)) // (1, count, V)
          const first = start + skip + done + 1
          const targets = idsTensor(tokens.subarray(first, first + count), like)
          out.set(crossEntropy(some, targets, { reduction: 'none' }).toArray(), done)
        })
      }
    }),
  )
}

/**
 * The logits of the token after a text.
 * @param ids at most as many as the model's context holds
 * @returns (V)
 * @throws DataError for ids outside the vocabulary, HearthError for a text longer than the context
 */
export function lastLogits(model: LanguageModel, ids: ArrayLike<number>): Float32Array {
  const tokens = checkIds(ids, model.family.shape(model.config), 'the text')
  return noGrad(() =>
    scope(() => {
      const input = idsTensor(tokens, leavesOf(model.weights)[0]!)
      return Float32Array.from(logits(model, input, { lastOnly: true }).toArray())
    }),
  )
}

function resolveWindow(options: ScoreOptions, contextLength: number): { window: number; stride: number } {
  const { window = contextLength, stride = window } = options
  const issues = []
  const whole = (value: number, most: number) => Number.isInteger(value) && value >= 1 && value <= most
  if (!whole(window, contextLength))
    issues.push({
      path: 'window',
      message: `must be an integer from 1 to the context of ${contextLength}, got ${window}`,
    })
  if (!whole(stride, window))
    issues.push({ path: 'stride', message: `must be an integer from 1 to the window of ${window}, got ${stride}` })
  if (issues.length > 0) throw new ConfigError('scoring', issues)
  return { window, stride }
}
