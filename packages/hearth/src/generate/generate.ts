// Token after token from a language model: the prompt is read once, then each token costs one position (KeyValueCache).
// Not here: how a token is chosen (samplers.ts), text (text.ts).
// B batch (1 here), T tokens, V vocabulary.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DataError, empty, keep, noGrad, scope, tensor, type Tensor } from '@hearth/torch'
import { hashCounters } from '../data/index.js'
import { keyValueCacheOf, logits, type LanguageModel, type ModelShape } from '../models/index.js'
import type { KeyValueCache } from '../nn/index.js'
import { leavesOf } from '../tree/index.js'
import { sampleToken } from './samplers.js'
import { resolveSettings, type GenerationSettings, type ResolvedSettings } from './settings.js'

export interface GenerateOptions extends GenerationSettings {
  /** Ends the generation after the token at hand, with the reason `aborted`. */
  signal?: AbortSignal
}

/** How a generation ended: what its generator returns. */
export interface Ending {
  /**
   * `end`: an end-of-text token, which is not part of the text; `stop`: a stop string; `length`: maxTokens, or the
   * model's context is full; `aborted`: the signal.
   */
  reason: 'end' | 'stop' | 'length' | 'aborted'
  promptTokens: number
  /** Tokens generated. */
  tokens: number
}

/** Tokens of a prompt that are read between two looks at the signal. */
const PREFILL_CHUNK = 512

/**
 * Generates tokens one by one; the event loop runs between them. The token at position n of the text (the prompt
 * included) is drawn with a random number that is a function of the seed and n alone.
 * @param promptIds at least one token, and fewer than the model's context holds; generation ends where that is full
 * @param options what is not given is the model's own (generation_config.json), else GenerationSettings' default
 * @returns yields the ids; the generator's return value says how it ended
 * @throws ConfigError listing every setting that is out of range, DataError for a prompt that cannot be used, both
 * before anything is computed; HearthError when the model's logits are not numbers
 * @example
 * for await (const id of generate(model, [464, 2068], { maxTokens: 20, temperature: 0 })) console.log(id)
 */
export function generate(
  model: LanguageModel,
  promptIds: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<number, Ending, void> {
  const settings = resolveSettings({ ...ownSettings(model), ...withoutMissing(options) })
  const shape = model.family.shape(model.config)
  const prompt = checkIds(promptIds, shape, 'the prompt')
  if (prompt.length >= shape.contextLength)
    throw new DataError(
      `the prompt has ${prompt.length} tokens, which leaves no room in the model's context of ${shape.contextLength}`,
      { remedy: 'shorten the prompt, or take a model with a longer context' },
    )
  return tokensAfter(model, shape, prompt, settings, options.signal)
}

async function* tokensAfter(
  model: LanguageModel,
  shape: ModelShape,
  prompt: Int32Array,
  settings: ResolvedSettings,
  signal: AbortSignal | undefined,
): AsyncGenerator<number, Ending, void> {
  const last = Math.min(prompt.length + settings.maxTokens, shape.contextLength)
  const eosIds = new Set(settings.eosIds ?? endTokensOf(model))
  const seen = new Set(prompt)
  const counts = new Map<number, number>()
  using reader = new Reader(model, shape.vocabularySize, last - 1)
  const ending = (reason: Ending['reason'], length: number): Ending => {
    return { reason, promptTokens: prompt.length, tokens: length - prompt.length }
  }
  for (let start = 0; start < prompt.length; start += PREFILL_CHUNK) {
    await nextTurn()
    if (signal?.aborted) return ending('aborted', prompt.length)
    reader.read(prompt.subarray(start, start + PREFILL_CHUNK), start + PREFILL_CHUNK >= prompt.length)
  }
  for (let position = prompt.length; ; position++) {
    const id = sampleToken(reader.logits, { seen, counts }, settings, hashCounters(settings.seed, position) / 2 ** 53)
    if (eosIds.has(id)) return ending('end', position)
    seen.add(id)
    counts.set(id, (counts.get(id) ?? 0) + 1)
    yield id
    if (position + 1 === last) return ending('length', last)
    await nextTurn()
    if (signal?.aborted) return ending('aborted', position + 1)
    reader.read([id], true)
  }
}

/** Feeds tokens to a model and holds its cache and its last logits, in memory that does not grow. */
class Reader implements Disposable {
  /** (V) of the last token read, float32: the same array, overwritten by each read. */
  readonly logits: Float32Array
  readonly #model: LanguageModel
  readonly #cache: KeyValueCache
  readonly #row: Tensor
  readonly #like: Tensor

  constructor(model: LanguageModel, vocabularySize: number, capacity: number) {
    this.#model = model
    this.#like = leavesOf(model.weights)[0]!
    this.#cache = keyValueCacheOf(model, { capacity })
    this.#row = keep(empty([vocabularySize], { dtype: 'float32' }))
    this.logits = this.#row.data() as Float32Array
  }

  read(ids: ArrayLike<number>, wantLogits: boolean): void {
    const { family, weights, config } = this.#model
    const options = { cache: this.#cache, lastOnly: true }
    noGrad(() =>
      scope(() => {
        const input = idsTensor(ids, this.#like)
        if (!wantLogits) family.hidden(weights, config, input, options)
        else this.#row.copy_(logits(this.#model, input, options).view([-1])) // (1, 1, V) → (V)
      }),
    )
  }

  [Symbol.dispose](): void {
    this.#cache.dispose()
    this.#row.dispose()
  }
}

/** Ids as (1, T) int64 beside the weights. */
export function idsTensor(ids: ArrayLike<number>, { device }: Tensor): Tensor {
  return tensor(Int32Array.from(ids), { dtype: 'int64', shape: [1, ids.length], device })
}

/**
 * The ids as a typed array.
 * @throws DataError when there are none, or some are not in the vocabulary
 */
export function checkIds(ids: ArrayLike<number>, { vocabularySize }: ModelShape, what: string): Int32Array {
  if (ids.length === 0) throw new DataError(`${what} is empty`, { remedy: 'give at least one token' })
  const wrong = Array.from(ids, (id, i) => ({ id, i })).filter(
    ({ id }) => !Number.isInteger(id) || id < 0 || id >= vocabularySize,
  )
  if (wrong.length > 0) {
    const shown = wrong.slice(0, 3).map(({ id, i }) => `${id} at ${i}`)
    throw new DataError(
      `${what} has ${wrong.length} ids that are not in the model's vocabulary of ${vocabularySize}: ${shown.join(', ')}`,
      { remedy: 'encode the text with the tokenizer of this model' },
    )
  }
  return Int32Array.from(ids)
}

/** What the model's own files say of how to choose tokens. */
export function ownSettings({ generation = {} }: LanguageModel): GenerationSettings {
  const { endTokens: _tokens, ...settings } = generation
  return settings
}

/** A setting that is there and undefined is not given. */
const withoutMissing = (options: GenerateOptions): GenerateOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

/** The end-of-text tokens that the model's files name. */
export function endTokensOf({ family, config, generation }: LanguageModel): number[] {
  if (generation?.endTokens) return [...generation.endTokens]
  const named = family.toConfig(config).eos_token_id
  return [named].flat().filter((id) => typeof id === 'number')
}
