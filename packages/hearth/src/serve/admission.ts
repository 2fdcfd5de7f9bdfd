// How many texts may be in the works at once, waiting ones included. What is over it is refused at once, so that those who
// wait know it.
import { ApiError } from './api-error.js'

export class Admission {
  readonly limit: number
  #running = 0
  #draining = false

  constructor(limit: number) {
    this.limit = limit
  }

  get running(): number {
    return this.#running
  }

  get draining(): boolean {
    return this.#draining
  }

  /** From now on nothing new is admitted. */
  drain(): void {
    this.#draining = true
  }

  /**
   * Takes `count` places, until it is disposed.
   * @throws ApiError 429 when there are not so many, 503 when the server is ending
   */
  enter(count = 1): Disposable {
    if (this.#draining)
      throw new ApiError(503, 'the server is ending and takes nothing new', { code: 'server_ending', retryAfter: 5 })
    if (count > this.limit)
      throw new ApiError(400, `the request asks for ${count} texts at once; the limit is ${this.limit}`, {
        code: 'too_many_texts',
      })
    if (this.#running + count > this.limit)
      throw new ApiError(429, `the server is writing ${this.#running} texts; its limit is ${this.limit}`, {
        code: 'too_many_requests',
        retryAfter: 1,
      })
    this.#running += count
    let inside = true
    return {
      [Symbol.dispose]: () => {
        if (inside) this.#running -= count
        inside = false
      },
    }
  }
}
