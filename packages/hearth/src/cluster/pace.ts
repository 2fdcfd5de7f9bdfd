// Who is slow: how long each worker takes for tasks of the same size, beside the others. Pure, as the crew that asks it.
import type { Place } from './crew.js'

/** Tasks of a worker that are looked at, and how many there must be. */
const HISTORY = 16
const ENOUGH = 8
/** Times the median of the others from which on a worker is slow, and below which it is so no more. */
const SLOW = 1.5
const USUAL = 1.2
/** Seconds; below that a machine that is busy with other things makes the difference. */
const LEAST = 0.05

export interface SlowWorker {
  place: Place
  /** Seconds that it takes for a task, and the others: medians. */
  seconds: number
  usual: number
}

export class Pace {
  readonly #seen = new Map<Place, number[]>()
  readonly #slow = new Set<Place>()

  /** @returns the worker, when it has just become slow */
  learn(place: Place, seconds: number): SlowWorker | undefined {
    this.#seen.set(place, [...(this.#seen.get(place) ?? []), seconds].slice(-HISTORY))
    const others = [...this.#seen].filter(([other, seen]) => other !== place && seen.length >= ENOUGH)
    const own = this.#seen.get(place)!
    if (own.length < ENOUGH || others.length === 0) return undefined
    const found = { place, seconds: median(own), usual: median(others.map(([, seen]) => median(seen))) }
    if (found.seconds < USUAL * found.usual) this.#slow.delete(place)
    const isSlow = found.seconds >= Math.max(SLOW * found.usual, found.usual + LEAST)
    if (!isSlow || this.#slow.has(place)) return undefined
    this.#slow.add(place)
    return found
  }

  /** Another process is in this place now. */
  forget(place: Place): void {
    this.#seen.delete(place)
    this.#slow.delete(place)
  }
}

/** The lower one of two in the middle. */
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!
