/**
 * Byte pair encoding of one word at a time, with the words seen before kept in a table: natural text repeats its words,
 * so that most of encoding is a look-up. Not here: cutting text into words (words.ts), added tokens (encoder.ts).
 * Source: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016.
 */
import { WordTable } from './word-table.js'
import type { WordEnd } from './words.js'

/** One merge: two neighbouring ids become one. Its place in the list is its rank: the first is applied first. */
export interface Merge {
  left: number
  right: number
  merged: number
}

/** The ids that a word starts from, written into `ids` (room for one a byte and more); returns how many. */
export type InitialIds = (text: Uint8Array, start: number, end: number, ids: Int32Array) => number

/** Ranks of the merges, found by their pair: open addressing over typed arrays. */
class MergeTable {
  readonly #slots: Int32Array
  readonly #lefts: Int32Array
  readonly #rights: Int32Array
  readonly merged: Int32Array

  constructor(merges: readonly Merge[]) {
    this.#lefts = Int32Array.from(merges, (merge) => merge.left)
    this.#rights = Int32Array.from(merges, (merge) => merge.right)
    this.merged = Int32Array.from(merges, (merge) => merge.merged)
    let size = 16
    while (size < merges.length * 2) size *= 2
    this.#slots = new Int32Array(size).fill(-1)
    merges.forEach(({ left, right }, rank) => {
      const slot = this.#slotOf(left, right)
      if (this.#slots[slot]! < 0) this.#slots[slot] = rank
    })
  }

  /** Rank of the merge of a pair, or -1. */
  rank(left: number, right: number): number {
    return this.#slots[this.#slotOf(left, right)]!
  }

  #slotOf(left: number, right: number): number {
    const mask = this.#slots.length - 1
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const rank = this.#slots[slot]!
      if (rank < 0 || (this.#lefts[rank] === left && this.#rights[rank] === right)) return slot
      slot = (slot + 1) & mask
    }
  }
}

/** A growing list of ids. */
export class IdList {
  #ids = new Int32Array(1024)
  length = 0

  /** Appends `source[start, end)`. */
  append(source: Int32Array, start: number, end: number): void {
    this.#reserve(end - start)
    for (let i = start; i < end; i++) this.#ids[this.length++] = source[i]!
  }

  push(id: number): void {
    this.#reserve(1)
    this.#ids[this.length++] = id
  }

  /** The ids so far, in memory of their own. */
  toArray(): Int32Array {
    return this.#ids.slice(0, this.length)
  }

  /** The storage itself, valid until the next append. */
  get storage(): Int32Array {
    return this.#ids
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#ids.length) return
    const larger = new Int32Array(Math.max(this.length + count, this.#ids.length * 2))
    larger.set(this.#ids)
    this.#ids = larger
  }
}

const LONGEST_KEPT_WORD = 64 // bytes; longer ones hardly ever come twice
const MOST_KEPT_WORDS = 1 << 18

/** Encodes UTF-8 text by words and merges. */
export class BpeEncoder {
  readonly #wordEnd: WordEnd
  readonly #initialIds: InitialIds
  readonly #merges: MergeTable
  #words = new WordTable()
  #wordIds = new IdList() // ids of word w: from #wordStarts[w] to #wordStarts[w + 1]
  #wordStarts: number[] = [0]
  #ids = new Int32Array(256)
  #next = new Int32Array(256)
  #previous = new Int32Array(256)

  constructor(wordEnd: WordEnd, initialIds: InitialIds, merges: readonly Merge[]) {
    this.#wordEnd = wordEnd
    this.#initialIds = initialIds
    this.#merges = new MergeTable(merges)
  }

  /** Appends the ids of `text` (valid UTF-8) to `out`. */
  encode(text: Uint8Array, out: IdList): void {
    const end = text.length
    let at = 0
    while (at < end) {
      const wordEnd = this.#wordEnd(text, at, end)
      if (wordEnd - at > LONGEST_KEPT_WORD) {
        const count = this.#mergeWord(text, at, wordEnd)
        out.append(this.#ids, 0, count)
      } else {
        const word = this.#keptWord(text, at, wordEnd)
        out.append(this.#wordIds.storage, this.#wordStarts[word]!, this.#wordStarts[word + 1]!)
      }
      at = wordEnd
    }
  }

  #keptWord(text: Uint8Array, start: number, end: number): number {
    if (this.#words.size === MOST_KEPT_WORDS) {
      this.#words = new WordTable()
      this.#wordIds = new IdList()
      this.#wordStarts = [0]
    }
    const known = this.#words.size
    const word = this.#words.indexOf(text, start, end)
    if (word < known) return word
    const count = this.#mergeWord(text, start, end)
    this.#wordIds.append(this.#ids, 0, count)
    this.#wordStarts.push(this.#wordIds.length)
    return word
  }

  /** Leaves the word's ids in `#ids` and returns their number. */
  #mergeWord(text: Uint8Array, start: number, end: number): number {
    if (end - start > this.#ids.length) this.#growScratch(end - start)
    const count = this.#initialIds(text, start, end, this.#ids)
    return count < 2 ? count : this.#applyMerges(count)
  }

  /**
   * Applies the merges in the order of rank, from the left among equals, with a heap over a linked list: n log n for a
   * word of n symbols, so that a megabyte without a space is no trap.
   */
  #applyMerges(count: number): number {
    const ids = this.#ids
    const next = this.#next
    const previous = this.#previous
    const heap = new PairHeap()
    for (let i = 0; i < count; i++) {
      next[i] = i + 1 < count ? i + 1 : -1
      previous[i] = i - 1
      if (i + 1 < count) heap.push(this.#merges.rank(ids[i]!, ids[i + 1]!), i)
    }
    while (heap.length > 0) {
      const [rank, at] = heap.pop()
      const right = next[at]!
      // A pair that an earlier merge changed is left in the heap and recognised here.
      if (right < 0 || ids[at]! < 0 || this.#merges.rank(ids[at]!, ids[right]!) !== rank) continue
      ids[at] = this.#merges.merged[rank]!
      ids[right] = -1
      const after = next[right]!
      next[at] = after
      if (after >= 0) {
        previous[after] = at
        heap.push(this.#merges.rank(ids[at], ids[after]!), at)
      }
      const before = previous[at]!
      if (before >= 0) heap.push(this.#merges.rank(ids[before]!, ids[at]), before)
    }
    let kept = 0
    for (let i = 0; i >= 0; i = next[i]!) ids[kept++] = ids[i]!
    return kept
  }

  #growScratch(size: number): void {
    this.#ids = new Int32Array(size * 2)
    this.#next = new Int32Array(size * 2)
    this.#previous = new Int32Array(size * 2)
  }
}

const POSITIONS = 2 ** 32

/** A binary heap of (rank, position), lowest first; a pair without a merge (rank -1) is not taken. */
class PairHeap {
  readonly #keys: number[] = []

  get length(): number {
    return this.#keys.length
  }

  push(rank: number, position: number): void {
    if (rank < 0) return
    const keys = this.#keys
    const key = rank * POSITIONS + position
    let at = keys.length
    keys.push(key)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (keys[parent]! <= key) break
      keys[at] = keys[parent]!
      at = parent
    }
    keys[at] = key
  }

  pop(): [rank: number, position: number] {
    const keys = this.#keys
    const top = keys[0]!
    const key = keys.pop()!
    const length = keys.length
    if (length > 0) {
      let at = 0
      for (;;) {
        let child = at * 2 + 1
        if (child >= length) break
        if (child + 1 < length && keys[child + 1]! < keys[child]!) child++
        if (keys[child]! >= key) break
        keys[at] = keys[child]!
        at = child
      }
      keys[at] = key
    }
    return [Math.floor(top / POSITIONS), top % POSITIONS]
  }
}
