/**
 * How often each pair of neighbouring ids occurs in a set of counted words, kept up to date while pairs are merged.
 * The trainer's inner loop; nothing else needs it.
 */
import type { WordTable } from './word-table.js'

/** A pair and how often it occurs. */
export interface Pair {
  readonly left: number
  readonly right: number
  count: number
}

interface CountedPair extends Pair {
  /** Words that have or had the pair; a word may stand here twice. */
  words: number[]
  /** The count with which it was last put into the heap. */
  queued: number
}

/** An entry of the heap keeps its own count: the heap's order must not change under it. */
interface Queued {
  readonly pair: CountedPair
  readonly count: number
}

const IDS = 2 ** 24

/** The pairs of a set of words. */
export class PairCounts {
  readonly #ids: Int32Array // ids of word w: #lengths[w] of them from #starts[w]
  readonly #starts: Int32Array
  readonly #lengths: Int32Array
  readonly #counts: readonly number[]
  readonly #pairs = new Map<number, CountedPair>()
  readonly #heap: Queued[] = []
  #raised = new Set<CountedPair>()

  /**
   * @param counts how often each word of the table occurs
   * @param idOfByte the id that each byte starts from
   */
  constructor(words: WordTable, counts: readonly number[], idOfByte: readonly number[]) {
    this.#ids = new Int32Array(words.bytes)
    this.#starts = new Int32Array(words.size)
    this.#lengths = new Int32Array(words.size)
    this.#counts = counts
    let at = 0
    for (let word = 0; word < words.size; word++) {
      this.#starts[word] = at
      for (const byte of words.word(word)) this.#ids[at++] = idOfByte[byte]!
      this.#lengths[word] = at - this.#starts[word]!
      for (let i = this.#starts[word]!; i + 1 < at; i++) {
        this.#change(this.#ids[i]!, this.#ids[i + 1]!, word, counts[word]!)
      }
    }
    this.#queueRaised()
  }

  /** The pair that occurs most often; of equals the one with the smaller left id, then the smaller right id. */
  mostFrequent(): Pair | undefined {
    for (;;) {
      const top = this.#pop()
      if (top === undefined) return undefined
      const { pair, count } = top
      if (count !== pair.queued) continue // an older entry of a pair that has a newer one
      if (count === pair.count) return pair
      if (pair.count > 0) this.#push(pair) // merges of its neighbours made it rarer since it was queued
    }
  }

  /** Replaces the pair by one id in every word. */
  merge(pair: Pair, id: number): void {
    const key = pair.left * IDS + pair.right
    const { words } = this.#pairs.get(key)!
    this.#pairs.delete(key)
    pair.count = 0
    for (const word of words) this.#mergeIn(word, pair, id)
    this.#queueRaised()
  }

  #mergeIn(word: number, { left, right }: Pair, id: number): void {
    const ids = this.#ids
    const start = this.#starts[word]!
    const end = start + this.#lengths[word]!
    const count = this.#counts[word]!
    let to = start
    for (let from = start; from < end; from++, to++) {
      if (ids[from] !== left || from + 1 >= end || ids[from + 1] !== right) {
        ids[to] = ids[from]!
        continue
      }
      if (to > start) {
        this.#change(ids[to - 1]!, left, word, -count)
        this.#change(ids[to - 1]!, id, word, count)
      }
      if (from + 2 < end) {
        this.#change(right, ids[from + 2]!, word, -count)
        this.#change(id, ids[from + 2]!, word, count)
      }
      ids[to] = id
      from++
    }
    this.#lengths[word] = to - start
  }

  #change(left: number, right: number, word: number, change: number): void {
    const key = left * IDS + right
    let pair = this.#pairs.get(key)
    if (pair === undefined) {
      if (change < 0) return // the pair that is being merged
      pair = { left, right, count: 0, words: [], queued: 0 }
      this.#pairs.set(key, pair)
    }
    pair.count += change
    if (change < 0) return
    if (pair.words.at(-1) !== word) pair.words.push(word)
    this.#raised.add(pair)
  }

  #queueRaised(): void {
    for (const pair of this.#raised) if (pair.count > 0) this.#push(pair)
    this.#raised = new Set()
  }

  #push(pair: CountedPair): void {
    pair.queued = pair.count
    const entry: Queued = { pair, count: pair.count }
    const heap = this.#heap
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!comesBefore(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  #pop(): Queued | undefined {
    const heap = this.#heap
    const top = heap[0]
    const entry = heap.pop()
    if (entry === undefined || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && comesBefore(heap[child + 1]!, heap[child]!)) child++
      if (!comesBefore(heap[child]!, entry)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = entry
    return top
  }
}

function comesBefore(a: Queued, b: Queued): boolean {
  if (a.count !== b.count) return a.count > b.count
  return a.pair.left !== b.pair.left ? a.pair.left < b.pair.left : a.pair.right < b.pair.right
}
