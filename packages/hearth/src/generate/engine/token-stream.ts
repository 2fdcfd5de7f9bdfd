// The answer to one request while it is being made: tokens are pushed by the engine and taken by one reader.
import type { Finish, GeneratedToken, Generation } from './types.js'

interface Deferred<T> {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: unknown) => void
}

function deferred<T>(): Deferred<T> {
  let resolve!: Deferred<T>['resolve'], reject!: Deferred<T>['reject']
  const promise = new Promise<T>((yes, no) => ((resolve = yes), (reject = no)))
  promise.catch(() => undefined) // who does not look at it is not troubled by a failure
  return { promise, resolve, reject }
}

export class TokenStream implements Generation {
  readonly #queue: GeneratedToken[] = []
  readonly #scores = deferred<readonly GeneratedToken[]>()
  readonly #finish = deferred<Finish>()
  readonly #onCancel: () => void
  #wake: (() => void) | undefined
  #ended = false

  /** @param onCancel is told when the reader leaves */
  constructor(onCancel: () => void) {
    this.#onCancel = onCancel
  }

  get promptScores(): Promise<readonly GeneratedToken[]> {
    return this.#scores.promise
  }

  get finish(): Promise<Finish> {
    return this.#finish.promise
  }

  cancel(): void {
    if (!this.#ended) this.#onCancel()
  }

  push(token: GeneratedToken): void {
    this.#queue.push(token)
    this.#wake?.()
  }

  score(scores: readonly GeneratedToken[]): void {
    this.#scores.resolve(scores)
  }

  end(finish: Finish): void {
    this.#ended = true
    this.#scores.resolve([])
    this.#finish.resolve(finish)
    this.#wake?.()
  }

  fail(error: unknown): void {
    this.#ended = true
    this.#scores.reject(error)
    this.#finish.reject(error)
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GeneratedToken, void, void> {
    try {
      for (;;) {
        const token = this.#queue.shift()
        if (token !== undefined) yield token
        else if (this.#ended) break
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
      await this.#finish.promise // throws what failed
    } finally {
      this.cancel()
    }
  }
}
