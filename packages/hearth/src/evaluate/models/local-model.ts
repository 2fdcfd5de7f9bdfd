// A model in this process. Inputs of one length are read together; each is padded to a length that only its own decides, and
// Hearth's matrix products give a row the same bits beside any others: an answer is the same in any company.
// B inputs, T tokens, D width, V vocabulary, C tokens that are scored.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DataError, logSoftmax, noGrad, scope, tensor, type Tensor } from '@hearth/torch'
import type { Tokenizer } from '../../data/index.js'
import { completeText } from '../../generate/index.js'
import type { LanguageModel } from '../../models/index.js'
import { linear, ROWS_AS_ALONE } from '../../nn/index.js'
import { leavesOf } from '../../tree/index.js'
import type { Likelihood } from '../scoring/metrics.js'
import { encode, encodePair, prefixToken, rollingPairs } from './evaluated-model.js'
import type { AskOptions, ContinuationRequest, EvaluatedModel, TextRequest, TokenPair } from './evaluated-model.js'

export interface LocalModelOptions {
  name: string
  model: LanguageModel
  tokenizer: Tokenizer
  /** Inputs that are read at once. @default 8 */
  batchSize?: number
}

/** Tokens to which lengths are rounded up, so that one text alone has too many rows for the products of few, whose bits differ. */
const LENGTH_STEP = 2 * ROWS_AS_ALONE
/** Logits that are computed at once: 64 MB of float32. */
const LOGITS_AT_ONCE = 2 ** 24

/** Several requests may share what the model reads, as choices of one letter do. */
interface Input {
  ids: Int32Array
  wanted: { request: number; continuation: Int32Array }[]
}

export class LocalModel implements EvaluatedModel {
  readonly name: string
  readonly kind = 'hearth'
  readonly #model: LanguageModel
  readonly #tokenizer: Tokenizer
  readonly #batchSize: number
  readonly #longest: number

  constructor({ name, model, tokenizer, batchSize = 8 }: LocalModelOptions) {
    this.name = name
    this.#model = model
    this.#tokenizer = tokenizer
    // Experts read what the others beside it leave to them: their products have other shapes in other company.
    this.#batchSize = 'num_local_experts' in model.family.toConfig(model.config) ? 1 : batchSize
    this.#longest = model.family.shape(model.config).contextLength
  }

  async continuations(requests: readonly ContinuationRequest[], options: AskOptions = {}): Promise<Likelihood[]> {
    return await this.#score(
      requests.map((request) => encodePair(this.#tokenizer, request)),
      options,
    )
  }

  async texts(texts: readonly string[], options: AskOptions = {}): Promise<number[]> {
    const prefix = prefixToken(this.#tokenizer)
    const windows = texts.map((text) => rollingPairs(encode(this.#tokenizer, text), prefix, this.#longest))
    const left = windows.map(({ length }) => length)
    const owners = windows.flatMap((some, text) => some.map(() => text))
    const onWindow = (pair: number) => {
      const text = owners[pair]!
      left[text] = left[text]! - 1
      if (left[text] === 0) options.onAnswer?.()
    }
    const scores = await this.#score(windows.flat(), { signal: options.signal }, onWindow)
    const sums = texts.map(() => 0)
    scores.forEach(({ logprob }, pair) => (sums[owners[pair]!]! += logprob))
    return sums
  }

  async generate(requests: readonly TextRequest[], { onAnswer, signal }: AskOptions = {}): Promise<string[]> {
    const answers: string[] = []
    for (const [place, { context, until, maxTokens, temperature }] of requests.entries()) {
      signal?.throwIfAborted()
      const room = this.#longest - maxTokens
      if (room < 1)
        throw new DataError(
          `${this.name}: ${maxTokens} tokens are to be generated, and the model's context is ${this.#longest}`,
          {
            remedy: 'give the task a smaller max_gen_toks, or take a model with a longer context',
          },
        )
      const ids = encode(this.#tokenizer, context).slice(-room)
      const stop = until.filter((text) => text !== '')
      const settings = { maxTokens, temperature, stop, seed: place, ...(signal && { signal }) }
      answers.push((await completeText(this.#model, this.#tokenizer, ids, settings)).text)
      onAnswer?.()
    }
    return answers
  }

  async #score(
    pairs: readonly TokenPair[],
    { onAnswer, signal }: AskOptions,
    onPair = (_: number) => onAnswer?.(),
  ): Promise<Likelihood[]> {
    const answers = new Array<Likelihood>(pairs.length)
    const groups = byLength(this.#inputs(pairs), this.#longest)
    // The longest first: should memory not suffice, that shows at once.
    for (const length of [...groups.keys()].sort((a, b) => b - a)) {
      const inputs = groups.get(length)!
      for (let start = 0; start < inputs.length; start += this.#batchSize) {
        signal?.throwIfAborted()
        const some = inputs.slice(start, start + this.#batchSize)
        this.#read(some, Math.min(length, this.#longest), answers)
        for (const { wanted } of some) for (const { request } of wanted) onPair(request)
        await nextTurn()
      }
    }
    return answers
  }

  /** What is read is all but the last token, cut at the left to what the model can read. */
  #inputs(pairs: readonly TokenPair[]): Input[] {
    const inputs = new Map<string, Input>()
    for (const [request, { context, continuation }] of pairs.entries()) {
      if (continuation.length > this.#longest || continuation.length === 0)
        throw new DataError(
          `${this.name}: a continuation of ${continuation.length} tokens cannot be scored; the model reads 1 to ${this.#longest}`,
        )
      const whole = new Int32Array(context.length + continuation.length)
      whole.set(context)
      whole.set(continuation, context.length)
      const ids = whole.slice(-(this.#longest + 1), -1)
      const key = ids.join()
      const input = inputs.get(key) ?? { ids, wanted: [] }
      input.wanted.push({ request, continuation })
      inputs.set(key, input)
    }
    return [...inputs.values()]
  }

  #read(inputs: readonly Input[], length: number, answers: Likelihood[]): void {
    const { family, weights, config } = this.#model
    const { device } = leavesOf(weights)[0]!
    const padded = new Int32Array(inputs.length * length)
    for (const [row, { ids }] of inputs.entries()) padded.set(ids, row * length)
    noGrad(() =>
      scope(() => {
        const ids = tensor(padded, { dtype: 'int64', shape: [inputs.length, length], device })
        const hidden = family.hidden(weights, config, ids) // (B, T, D)
        for (const [row, { ids: own, wanted }] of inputs.entries())
          for (const { request, continuation } of wanted) {
            const rows = hidden.select(0, row).narrow(0, own.length - continuation.length, continuation.length) // (C, D)
            answers[request] = this.#likelihood(rows, continuation)
          }
      }),
    )
  }

  #likelihood(hidden: Tensor, continuation: Int32Array): Likelihood {
    const { family, weights, config } = this.#model
    const atOnce = Math.max(1, Math.floor(LOGITS_AT_ONCE / family.shape(config).vocabularySize))
    const sum: Likelihood = { logprob: 0, greedy: true }
    for (let start = 0; start < continuation.length; start += atOnce) {
      const ids = continuation.subarray(start, start + atOnce)
      scope(() => {
        const logits = linear(family.projection(weights), hidden.narrow(0, start, ids.length)) // (C, V)
        const logprobs = logSoftmax(logits, -1, { dtype: 'float32' })
        const target = tensor(ids, { dtype: 'int64', shape: [ids.length, 1], device: hidden.device })
        for (const logprob of logprobs.gather(1, target).toArray()) sum.logprob += logprob
        const likeliest = logits.argmax({ dim: -1 }).toArray()
        sum.greedy &&= likeliest.every((id, i) => id === ids[i])
      })
    }
    return sum
  }
}

/** @param longest what the model reads at most, which a length is not rounded beyond */
function byLength(inputs: readonly Input[], longest: number): Map<number, Input[]> {
  const groups = new Map<number, Input[]>()
  for (const input of inputs) {
    const length = Math.min(Math.ceil(input.ids.length / LENGTH_STEP) * LENGTH_STEP, longest)
    const group = groups.get(length)
    if (group === undefined) groups.set(length, [input])
    else group.push(input)
  }
  return groups
}
