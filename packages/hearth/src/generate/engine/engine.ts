// Many requests for tokens from one model. Here is who runs when: requests wait in the order in which they came, some run,
// and each step gives every running one a token. Not here: one request's choices and end (sequence.ts).
import { setImmediate as nextTurn } from 'node:timers/promises'
import { HearthError, noGrad, scope } from '@hearth/torch'
import { attachAdapter, type Adapter } from '../../adapt/index.js'
import { keyValueCacheOf, type LanguageModel } from '../../models/index.js'
import { linear, type KeyValueCache } from '../../nn/index.js'
import { leavesOf } from '../../tree/index.js'
import { checkIds, idsTensor } from '../generate.js'
import { Sequence } from './sequence.js'
import type { EngineOptions, EngineStats, FinishReason, GenerateRequest, Generation } from './types.js'

interface Running {
  sequence: Sequence
  cache: KeyValueCache
  read: number
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
  readonly #model: LanguageModel
  readonly #adapters = new Map<string, LanguageModel>()
  readonly #options: { maxBatch: number; prefillChunk: number; cacheTokens: number }
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

  constructor(model: LanguageModel, { maxBatch = 8, prefillChunk = 256, cacheTokens }: EngineOptions = {}) {
    const { contextLength } = model.family.shape(model.config)
    this.#model = model
    this.#options = { maxBatch, prefillChunk, cacheTokens: cacheTokens ?? 4 * contextLength }
  }

  /** Gives an adapter a name that requests can ask for, or with undefined takes it away; requests that run keep theirs. */
  setAdapter(name: string, adapter: Adapter | undefined): void {
    if (adapter === undefined) this.#adapters.delete(name)
    else this.#adapters.set(name, attachAdapter(this.#model, adapter))
  }

  /**
   * Queues a request. Its tokens are a function of the request alone: not of what else runs.
   * @throws ConfigError for settings out of range; DataError for a prompt that cannot be used, or has no room; HearthError
   * for an adapter that is not there, or when the engine is closed
   */
  generate(request: GenerateRequest): Generation {
    this.#checkOpen()
    this.#modelOf(request.adapter ?? '')
    const sequence = new Sequence(this.#model, request, this.#options.cacheTokens, () => this.#cancel(sequence))
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
    const used = this.#running.reduce((sum, { read }) => sum + read, 0)
    return {
      waiting: this.#waiting.length,
      running: this.#running.length,
      ...this.#totals,
      cache: { used, kept: 0, capacity: this.#options.cacheTokens },
    }
  }

  /** Cancels what runs and waits, and frees what the engine made. */
  async close(): Promise<void> {
    this.#closed = true
    for (const sequence of [...this.#waiting, ...this.#running.map((one) => one.sequence)]) this.#cancel(sequence)
    await this.#loop
  }

  #checkOpen(): void {
    if (this.#closed) throw new HearthError('the engine is closed', { remedy: 'make another one' })
  }

  #modelOf(adapter: string): LanguageModel {
    const model = adapter === '' ? this.#model : this.#adapters.get(adapter)
    if (model !== undefined) return model
    const known = [...this.#adapters.keys()].join(', ')
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
    this.#totals.generatedTokens += finish.tokens
    running.sequence.stream.end(finish)
  }

  #leave(running: Running): void {
    running.cache.dispose()
    this.#running = this.#running.filter((one) => one !== running)
  }

  async #work(): Promise<void> {
    for (;;) {
      await nextTurn()
      while (this.#waiting.length > 0 && this.#running.length < this.#options.maxBatch) {
        const sequence = this.#waiting.shift()!
        this.#running.push({ sequence, cache: keyValueCacheOf(this.#model, { capacity: sequence.most }), read: 0 })
      }
      if (this.#running.length === 0) break
      for (const one of [...this.#running]) {
        if (!this.#running.includes(one)) continue
        try {
          this.#advance(one)
        } catch (error) {
          this.#leave(one)
          one.sequence.stream.fail(error)
        }
        await nextTurn()
      }
    }
    this.#loop = undefined
  }

  /** Reads a piece of the prompt, or the last token and chooses the next. */
  #advance(one: Running): void {
    const { sequence } = one
    const { tokens, promptLength, wantsScores } = sequence
    const until = Math.min(tokens.length, one.read + this.#options.prefillChunk)
    const logits = this.#read(one, until, wantsScores && one.read < promptLength)
    if (one.read < tokens.length) return
    if (wantsScores && tokens.length === promptLength) {
      sequence.stream.score([{ token: tokens[0]! }, ...sequence.scores])
    }
    const ending = sequence.endsNow() ?? sequence.take(logits!)
    if (ending) this.#end(one, ending)
  }

  /** The logits of the last token read, when it is the last there is. */
  #read(one: Running, until: number, scoring: boolean): Float32Array | undefined {
    const { family, weights, config } = this.#modelOf(one.sequence.adapter)
    const ids = one.sequence.tokens.slice(one.read, until)
    const first = one.read
    one.read = until
    return noGrad(() =>
      scope(() => {
        const hidden = family.hidden(weights, config, idsTensor(ids, leavesOf(weights)[0]!), { cache: one.cache }) // (1, T, D)
        const row = (index: number) =>
          (
            linear(family.projection(weights), hidden.narrow(1, index, 1))
              .to('float32')
              .data() as Float32Array
          ).slice() // (V)
        if (scoring)
          for (let index = 0; index < ids.length && first + index + 1 < one.sequence.promptLength; index++)
            one.sequence.score(first + index + 1, row(index))
        return until === one.sequence.tokens.length ? row(ids.length - 1) : undefined
      }),
    )
  }
}
