// Which pages of the cache belong to whom. A page that nobody uses any more is free, or kept for a later text that begins
// alike, until its place is needed. Not here: what is in the pages (hearth/nn's PagedCache).
import { PAGE_TOKENS } from '../../nn/index.js'

/** A full page by what was read up to its end: by the page before, and its own tokens. */
interface Known {
  key: string
  /** Never used twice, so that pages behind one that was given up are not found. */
  id: number
  page: number
}

/** Where a text's known pages end: those behind it are told to this place. */
export type Prefix = number

export class PagePool {
  readonly #total: number
  /** The lowest last: memory that was never touched stays so. */
  readonly #free: number[]
  readonly #users: Uint16Array
  readonly #byKey = new Map<string, Known>()
  readonly #byPage = new Map<number, Known>()
  /** Known pages that nobody uses, the one longest unused first. */
  readonly #kept = new Set<number>()
  #ids = 0

  constructor(pages: number) {
    this.#total = pages
    this.#free = Array.from({ length: pages }, (_, i) => pages - 1 - i)
    this.#users = new Uint16Array(pages)
  }

  get counts(): { used: number; kept: number; total: number } {
    const kept = this.#kept.size
    return { used: this.#total - this.#free.length - kept, kept, total: this.#total }
  }

  /** Pages that can be taken. */
  get available(): number {
    return this.#free.length + this.#kept.size
  }

  /** Where texts of one kind begin: a model with one adapter. */
  root(): Prefix {
    return this.#ids++
  }

  /** A page for one text, or undefined when all are in use. */
  take(): number | undefined {
    let page = this.#free.pop()
    if (page === undefined) {
      page = this.#kept.values().next().value
      if (page === undefined) return undefined
      this.#kept.delete(page)
      this.#byKey.delete(this.#byPage.get(page)!.key)
      this.#byPage.delete(page)
    }
    this.#users[page] = 1
    return page
  }

  release(page: number): void {
    if (--this.#users[page]! > 0) return
    if (this.#byPage.has(page)) this.#kept.add(page)
    else this.#free.push(page)
  }

  /** The pages of the longest known beginning of a text, at most `most`; they are the caller's to release. */
  find(root: Prefix, tokens: readonly number[], most: number): { pages: number[]; end: Prefix } {
    const pages: number[] = []
    let end = root
    while (pages.length < most) {
      const known = this.#byKey.get(keyOf(end, tokens, pages.length))
      if (known === undefined) break
      this.#kept.delete(known.page)
      this.#users[known.page]!++
      pages.push(known.page)
      end = known.id
    }
    return { pages, end }
  }

  /** Makes page `index` of a text known, behind `end`; where one like it is known already, that one stays. */
  learn(end: Prefix, tokens: readonly number[], index: number, page: number): Prefix {
    const key = keyOf(end, tokens, index)
    const known = this.#byKey.get(key) ?? { key, id: this.#ids++, page }
    if (known.page === page) {
      this.#byKey.set(key, known)
      this.#byPage.set(page, known)
    }
    return known.id
  }
}

const keyOf = (end: Prefix, tokens: readonly number[], index: number): string =>
  `${end}:${tokens.slice(index * PAGE_TOKENS, (index + 1) * PAGE_TOKENS).join(' ')}`
