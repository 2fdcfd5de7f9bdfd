/**
 * A set of byte strings, numbered in the order they came, without one JavaScript object a word: the encoder's cache and
 * the trainer's counts are arrays beside it. Open addressing over FNV-1a; grows by doubling; nothing is ever removed.
 */
export class WordTable {
  #slots = new Int32Array(1 << 12).fill(-1)
  #hashes = new Int32Array(1 << 11)
  #starts = new Float64Array((1 << 11) + 1)
  #pool: Uint8Array = new Uint8Array(1 << 14)
  #size = 0

  /** Number of different words. */
  get size(): number {
    return this.#size
  }

  /** Bytes that the words take together. */
  get bytes(): number {
    return this.#starts[this.#size]!
  }

  /** Number of the word in `text[start, end)`; a new word gets the number `size` had. */
  indexOf(text: Uint8Array, start: number, end: number): number {
    let hash = 0x811c9dc5
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text[i]!, 0x01000193)
    hash ^= hash >>> 15
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (;;) {
      const index = this.#slots[slot]!
      if (index < 0) return this.#add(slot, hash, text, start, end)
      if (this.#hashes[index] === hash && this.#matches(index, text, start, end)) return index
      slot = (slot + 1) & mask
    }
  }

  /** The bytes of a word: a view, good until the next word is added. */
  word(index: number): Uint8Array {
    return this.#pool.subarray(this.#starts[index], this.#starts[index + 1])
  }

  #matches(index: number, text: Uint8Array, start: number, end: number): boolean {
    const from = this.#starts[index]!
    if (this.#starts[index + 1]! - from !== end - start) return false
    for (let i = start, j = from; i < end; i++, j++) if (text[i] !== this.#pool[j]) return false
    return true
  }

  #add(slot: number, hash: number, text: Uint8Array, start: number, end: number): number {
    const index = this.#size++
    const from = this.#starts[index]!
    const to = from + end - start
    if (to > this.#pool.length) this.#pool = grown(this.#pool, new Uint8Array(Math.max(to, this.#pool.length * 2)))
    this.#pool.set(text.subarray(start, end), from)
    this.#hashes[index] = hash
    this.#starts[index + 1] = to
    this.#slots[slot] = index
    if (this.#size === this.#hashes.length) this.#grow()
    return index
  }

  #grow(): void {
    const capacity = this.#hashes.length * 2
    this.#hashes = grown(this.#hashes, new Int32Array(capacity))
    this.#starts = grown(this.#starts, new Float64Array(capacity + 1))
    const slots = new Int32Array(capacity * 2).fill(-1)
    const mask = slots.length - 1
    for (let index = 0; index < this.#size; index++) {
      let slot = this.#hashes[index]! & mask
      while (slots[slot]! >= 0) slot = (slot + 1) & mask
      slots[slot] = index
    }
    this.#slots = slots
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(old: T, larger: T): T {
  larger.set(old)
  return larger
}
