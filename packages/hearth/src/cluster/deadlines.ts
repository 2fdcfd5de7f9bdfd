// How long a phase may take before its worker counts as hung: learned from the phase's own history, because a step takes
// milliseconds in one run and minutes in another.

export interface DeadlineOptions {
  /** No deadline is shorter: a machine that is busy for a moment must not cost a worker. */
  minimumSeconds?: number
  /** No deadline is longer, unless a phase was seen to take longer. */
  maximumSeconds?: number
  /** For a phase that was never seen. */
  firstSeconds?: number
}

const MINIMUM_SECONDS = 2
const MAXIMUM_SECONDS = 60
const FIRST_SECONDS = 600
/** Times the median. */
const MEDIANS = 10
/** Times the longest that was seen, where even ten medians are above the maximum. */
const LONGESTS = 3
const HISTORY = 64

export class Deadlines {
  readonly #minimum: number
  readonly #maximum: number
  readonly #first: number
  /** The last durations of each phase, in seconds. */
  readonly #seen = new Map<string, number[]>()

  constructor(options: DeadlineOptions = {}) {
    this.#minimum = options.minimumSeconds ?? MINIMUM_SECONDS
    this.#maximum = options.maximumSeconds ?? MAXIMUM_SECONDS
    this.#first = options.firstSeconds ?? FIRST_SECONDS
  }

  learn(phase: string, seconds: number): void {
    const seen = this.#seen.get(phase) ?? []
    this.#seen.set(phase, [...seen, seconds].slice(-HISTORY))
  }

  /** Seconds: ten times the median, within the limits; a phase that is longer than the upper one gets three times its longest. */
  of(phase: string): number {
    const seen = this.#seen.get(phase)
    if (seen === undefined) return this.#first
    const sorted = seen.toSorted((a, b) => a - b)
    const median = sorted[Math.floor(sorted.length / 2)]!
    const longest = LONGESTS * sorted.at(-1)!
    if (longest > this.#maximum) return longest
    return Math.max(this.#minimum, Math.min(this.#maximum, MEDIANS * median))
  }
}
