// Many requests for tokens from one model. Here is who runs when: requests wait in the order in which they came, those that
// have pages run, and each turn gives every running one a token. Not here: one request's choices and end (sequence.ts), what
// it reads (running.ts), whose the pages are (page-pool.ts).
import { totalmem } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { HearthError, noGrad, scope } from '@hearth/torch'
import { attachAdapter, type Adapter } from '../../adapt/index.js'
import { pageBytesOf, pagedCacheOf, type LanguageModel } from '../../models/index.js'
import { PAGE_TOKENS, ROWS_AS_ALONE, type PagedCache } from '../../nn/index.js'
import { leavesOf } from '../../tree/index.js'
import { checkIds, idsTensor } from '../generate.js'
import { readBatch } from './batch-pass.js'
import { PagePool, type Prefix } from './page-pool.js'
import { PagedText } from './paged-text.js'
import { longPart, readsLong, reusablePages, shortPart, type Part, type Running } from './running.js'
import { Sequence } from './sequence.js'
import type { EngineOptions, EngineStats, FinishReason, GenerateRequest, Generation } from './types.js'

/** A model with one adapter or none, and where its known texts begin. */
interface Variant {
  model: LanguageModel
  root: Prefix
}

/**
 * Runs requests on one model. The model stays the caller's: close() frees only what the engine made.
 * @example
 * const engine = new Engine(model)
 * const generation = engine.generate({ prompt: tokenizer.encode('Call me'), maxTokens: 20, sampling: { seed: 1 } })
 * for await (const { token } of generation) console.log(token)
 * const { reason } = await generation.finish
 * await engine.close()
 */
export class Engine {
  readonly #variants = new Map<string, Variant>()
  readonly #options: { maxBatch: number; prefillChunk: number; cacheTokens: number }
  readonly #cache: PagedCache
  readonly #pool: PagePool
  /** A mixture's experts see other counts of rows beside other texts: long prompts are read one by one, and whole. */
  readonly #alone: boolean
  readonly #window: number
  readonly #variantOf = new WeakMap<Sequence, Variant>()
  #waiting: Sequence[] = []
  #running: Running[] = []
  #loop: Promise<void> | undefined
  #closed = false
  readonly #totals = {
    finished: 0,
    promptTokens: 0,
    cachedTokens: 0,
    generatedTokens: 0,
    draftedTokens: 0,
    acceptedTokens: 0,
  }

  constructor(model: LanguageModel, options: EngineOptions = {}) {
    const { maxBatch = 8, prefillChunk = 256, cacheDtype: dtype } = options
    const { windows = [0], idleParameters = 0 } = model.family.shape(model.config)
    const pages = Math.ceil((options.cacheTokens ?? defaultTokens(model, maxBatch, dtype)) / PAGE_TOKENS)
    this.#options = { maxBatch, prefillChunk, cacheTokens: options.cacheTokens ?? pages * PAGE_TOKENS }
    this.#alone = idleParameters > 0
    this.#window = windows.includes(0) ? 0 : Math.max(...windows)
    this.#cache = pagedCacheOf(model, { pages, ...(dtype && { dtype }) })
    this.#pool = new PagePool(pages)
    this.#variants.set('', { model, root: this.#pool.root() })
  }

  get #model(): LanguageModel {
    return this.#variants.get('')!.model
  }

  /** Gives an adapter a name that requests can ask for, or with undefined takes it away; requests that run keep theirs. */
  setAdapter(name: string, adapter: Adapter | undefined): void {
    if (adapter === undefined) this.#variants.delete(name)
    else this.#variants.set(name, { model: attachAdapter(this.#model, adapter), root: this.#pool.root() })
  }

  /**
   * Queues a request. Its tokens are a function of the request alone: not of what else runs.
   * @throws ConfigError for settings out of range; DataError for a prompt that cannot be used, or has no room; HearthError
   * for an adapter that is not there, or when the engine is closed
   */
  generate(request: GenerateRequest): Generation {
    this.#checkOpen()
    const variant = this.#variantNamed(request.adapter ?? '')
    const sequence = new Sequence(this.#model, request, this.#options.cacheTokens, () => this.#cancel(sequence))
    this.#variantOf.set(sequence, variant)
    request.signal?.addEventListener('abort', () => this.#cancel(sequence), { once: true })
    this.#waiting.push(sequence)
    if (sequence.cancelled) this.#cancel(sequence)
    this.#loop ??= this.#work()
    return sequence.stream
  }

  /**
   * A text as one vector: the mean over its tokens of the model's last hidden state, made to length 1.
   * @returns (D)
   * @throws DataError for a text that is empty, too long or not in the vocabulary
   */
  async embed(tokens: ArrayLike<number>): Promise<Float32Array> {
    this.#checkOpen()
    const { family, weights, config } = this.#model
    const ids = checkIds(tokens, family.shape(config), 'the text')
    await nextTurn()
    return noGrad(() =>
      scope(() => {
        const hidden = family.hidden(weights, config, idsTensor(ids, leavesOf(weights)[0]!)) // (1, T, D)
        const mean = hidden.to('float32').mean([0, 1]) // (D)
        return Float32Array.from(mean.div(mean.square().sum().sqrt()).toArray())
      }),
    )
  }

  stats(): EngineStats {
    const { used, kept, total } = this.#pool.counts
    return {
      waiting: this.#waiting.length,
      running: this.#running.length,
      ...this.#totals,
      cache: { used: used * PAGE_TOKENS, kept: kept * PAGE_TOKENS, capacity: total * PAGE_TOKENS },
    }
  }

  /** Cancels what runs and waits, and frees what the engine made. */
  async close(): Promise<void> {
    this.#closed = true
    for (const sequence of [...this.#waiting, ...this.#running.map((one) => one.sequence)]) this.#cancel(sequence)
    await this.#loop
    this.#cache.dispose()
  }

  #checkOpen(): void {
    if (this.#closed) throw new HearthError('the engine is closed', { remedy: 'make another one' })
  }

  #variantNamed(adapter: string): Variant {
    const variant = this.#variants.get(adapter)
    if (variant !== undefined) return variant
    const known = [...this.#variants.keys()].filter((name) => name !== '').join(', ')
    throw new HearthError(`there is no adapter ${JSON.stringify(adapter)}`, {
      remedy: known === '' ? 'this engine has none' : `known are ${known}`,
    })
  }

  #cancel(sequence: Sequence): void {
    const running = this.#running.find((one) => one.sequence === sequence)
    if (running) this.#end(running, 'cancelled')
    else if (this.#waiting.includes(sequence)) {
      this.#waiting = this.#waiting.filter((one) => one !== sequence)
      sequence.stream.end(sequence.finish('cancelled'))
    }
  }

  #end(running: Running, reason: FinishReason): void {
    this.#leave(running)
    const finish = running.sequence.finish(reason)
    this.#totals.finished++
    this.#totals.promptTokens += finish.promptTokens
    this.#totals.cachedTokens += finish.cachedTokens
    this.#totals.generatedTokens += finish.tokens
    running.sequence.stream.end(finish)
  }

  #fail(running: Running, error: unknown): void {
    this.#leave(running)
    running.sequence.stream.fail(error)
  }

  #leave(running: Running): void {
    running.text.release()
    this.#running = this.#running.filter((one) => one !== running)
  }

  async #work(): Promise<void> {
    for (;;) {
      await nextTurn()
      this.#admit()
      if (this.#running.length === 0) break
      for (const list of this.#byModel((one) => !readsLong(one))) await this.#readShort(list)
      const [long] = this.#byModel(readsLong)
      if (long) this.#readLong(long)
    }
    this.#loop = undefined
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#running.length < this.#options.maxBatch) {
      const sequence = this.#waiting[0]!
      const needed = Math.ceil((sequence.tokens.length + 1) / PAGE_TOKENS)
      if (this.#running.length > 0 && this.#pool.available < needed) return
      this.#waiting.shift()
      const { model, root } = this.#variantOf.get(sequence)!
      const text = new PagedText(this.#pool, root)
      if (!this.#alone) text.reuse(sequence.tokens, reusablePages(sequence))
      if (sequence.tokens.length === sequence.promptLength) sequence.cachedTokens = text.read
      this.#running.push({ sequence, model, text })
    }
  }

  /** Texts of different models cannot be read in one pass; adapters make models. */
  #byModel(which: (one: Running) => boolean): Running[][] {
    const groups = new Map<LanguageModel, Running[]>()
    for (const one of this.#running.filter(which)) groups.set(one.model, [...(groups.get(one.model) ?? []), one])
    return [...groups.values()]
  }

  async #readShort(list: readonly Running[]): Promise<void> {
    let parts: Part[] = []
    let room = ROWS_AS_ALONE
    const read = async () => {
      this.#read(parts)
      parts = []
      room = ROWS_AS_ALONE
      await nextTurn()
    }
    for (const one of list) {
      if (room === 0) await read()
      if (!this.#running.includes(one)) continue
      const part = shortPart(one, Math.min(room, this.#options.prefillChunk))
      if (!this.#grow(part)) continue
      parts.push(part)
      room -= part.ids.length
    }
    if (parts.length > 0) await read()
  }

  #readLong(list: readonly Running[]): void {
    const parts: Part[] = []
    let room = Math.max(this.#options.prefillChunk, ROWS_AS_ALONE + 1)
    for (const one of this.#alone ? list.slice(0, 1) : list) {
      const part = this.#running.includes(one) ? longPart(one, room) : undefined
      if (part === undefined || !this.#grow(part)) continue
      parts.push(part)
      room -= part.ids.length
    }
    this.#read(parts)
  }

  /** Gets pages for a part. Where there are none, the request that came last gives up its own, and is read again later. */
  #grow({ one, ids }: Part): boolean {
    while (!one.text.grow(one.text.read + ids.length)) {
      const last = this.#running.at(-1)!
      this.#leave(last)
      this.#waiting.unshift(last.sequence)
      if (last === one) return false
    }
    return true
  }

  #read(all: readonly Part[]): void {
    const parts = all.filter(({ one }) => this.#running.includes(one))
    if (parts.length === 0) return
    try {
      readBatch(parts[0]!.one.model, this.#cache, parts, (part, index, logits) => this.#use(part, index, logits))
    } catch (error) {
      for (const { one } of parts) if (this.#running.includes(one)) this.#fail(one, error)
    }
    for (const { one, ids } of parts) if (this.#running.includes(one)) this.#settle(one, ids)
  }

  /** The logits behind the part's token `index`: a score of the prompt, or the choice of the next token. */
  #use({ one, ids }: Part, index: number, logits: Float32Array): void {
    const { sequence, text } = one
    const { tokens, promptLength, wantsScores, scores, stream } = sequence
    const next = text.read + index + 1
    if (!this.#running.includes(one) || ids[index] !== tokens[next - 1]) return
    try {
      if (next < promptLength && scores.length === next - 1) sequence.score(next, logits)
      if (next === promptLength && wantsScores) stream.score([{ token: tokens[0]! }, ...scores])
      if (next !== tokens.length) return
      const ending = sequence.endsNow() ?? sequence.take(logits)
      if (ending) this.#end(one, ending)
    } catch (error) {
      this.#fail(one, error)
    }
  }

  #settle(one: Running, ids: readonly number[]): void {
    const { sequence, text } = one
    const wasLong = readsLong(one)
    text.read += ids.length
    if (wasLong && !this.#alone) text.learn(sequence.tokens, Math.min(text.read, sequence.promptLength))
    if (this.#window > 0) text.forget(this.#window)
  }
}

/** A context for each request, as far as a quarter of this machine's memory goes. */
function defaultTokens(model: LanguageModel, maxBatch: number, dtype: EngineOptions['cacheDtype']): number {
  const { contextLength } = model.family.shape(model.config)
  const fits = Math.floor(totalmem() / 4 / pageBytesOf(model, dtype)) * PAGE_TOKENS
  return Math.max(PAGE_TOKENS, Math.min(fits, maxBatch * Math.ceil(contextLength / PAGE_TOKENS) * PAGE_TOKENS))
}
