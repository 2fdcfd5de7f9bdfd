// One text and its pages: what of it was read, and where that lies. Not here: the model that reads it (paged-model.ts).
import { PAGE_TOKENS, type PagedText as Span } from '../../nn/index.js'
import type { PagePool, Prefix } from './page-pool.js'

export class PagedText {
  /** Tokens whose keys and values are in the pages. */
  read = 0
  readonly #pool: PagePool
  #pages: number[] = []
  /** Pages that were made known, and where they end. */
  #known = 0
  #end: Prefix

  constructor(pool: PagePool, root: Prefix) {
    this.#pool = pool
    this.#end = root
  }

  /** Begins with the pages of an earlier text that began alike; at most `most` pages. */
  reuse(tokens: readonly number[], most: number): void {
    const { pages, end } = this.#pool.find(this.#end, tokens, most)
    this.#pages = pages
    this.#known = pages.length
    this.#end = end
    this.read = pages.length * PAGE_TOKENS
  }

  /** Takes the pages that `length` tokens need. @returns whether there were enough; what it got, it has */
  grow(length: number): boolean {
    while (this.#pages.length * PAGE_TOKENS < length) {
      const page = this.#pool.take()
      if (page === undefined) return false
      this.#pages.push(page)
    }
    return true
  }

  /** The next `count` tokens, for a pass. */
  span(count: number): Span {
    return { start: this.read, count, pages: this.#pages }
  }

  /** Makes its full pages known, of the first `length` tokens. */
  learn(tokens: readonly number[], length: number): void {
    for (; (this.#known + 1) * PAGE_TOKENS <= length; this.#known++)
      this.#end = this.#pool.learn(this.#end, tokens, this.#known, this.#pages[this.#known]!)
  }

  /** Gives back pages whose tokens nobody sees any more, where each query sees only the last `window` keys. */
  forget(window: number): void {
    const least = Math.floor(Math.max(0, this.read - window + 1) / PAGE_TOKENS)
    for (let index = 0; index < least; index++) {
      if (this.#pages[index]! >= 0) this.#pool.release(this.#pages[index]!)
      this.#pages[index] = -1
    }
  }

  release(): void {
    for (const page of this.#pages) if (page >= 0) this.#pool.release(page)
    this.#pages = []
  }
}
