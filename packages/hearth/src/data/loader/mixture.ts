/**
 * Which source the n-th sequence of a run comes from, and how many came from it before: both without looking at the
 * others. The sources alternate evenly, so that every stretch of a run has the proportions wanted, not only the whole.
 *
 * One source is divided from the rest as a line is drawn on a grid (Bresenham 1965): after n sequences it has had
 * ⌊(n · weight + phase) / total⌋ of them. What is left goes on to be divided between the others.
 */
import { philox, seedKey, uniform } from '../counter-random.js'

const RESOLUTION = 2 ** 20

/** A sequence's source and its number among the sequences of that source. */
export interface Pick {
  source: number
  ordinal: number
}

interface Division {
  weight: number
  total: number
  phase: number
}

/** Divides the sequences of a run among sources by weight. */
export class Mixture {
  readonly #divisions: readonly Division[]

  /** @param weights positive numbers of any scale; shares are exact to one in 2^20 */
  constructor(weights: readonly number[], seed: number) {
    const sum = weights.reduce((total, weight) => total + weight, 0)
    const parts = weights.map((weight) => Math.max(1, Math.round((weight / sum) * RESOLUTION)))
    this.#divisions = parts.slice(0, -1).map((weight, source) => {
      const total = parts.slice(source).reduce((left, part) => left + part, 0)
      const [high, low] = philox([source, 0, 0, 0x6d6978], seedKey(seed)) // 'mix'
      return { weight, total, phase: Math.floor(uniform(high, low) * total) }
    })
  }

  /** The source of the n-th sequence, n from 0 to 2^53 - 2. */
  pick(n: number): Pick {
    let ordinal = n
    for (const [source, division] of this.#divisions.entries()) {
      const before = taken(ordinal, division)
      if (taken(ordinal + 1, division) > before) return { source, ordinal: before }
      ordinal -= before
    }
    return { source: this.#divisions.length, ordinal }
  }

  /** How many of the first n sequences come from each source. */
  counts(n: number): number[] {
    let left = n
    const counts = this.#divisions.map((division) => {
      const count = taken(left, division)
      left -= count
      return count
    })
    return [...counts, left]
  }
}

/** ⌊(n · weight + phase) / total⌋, exact for large n. */
function taken(n: number, { weight, total, phase }: Division): number {
  return Math.floor(n / total) * weight + Math.floor(((n % total) * weight + phase) / total)
}
