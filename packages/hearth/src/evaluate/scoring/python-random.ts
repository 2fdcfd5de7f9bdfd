// Python's random numbers, bit for bit: lm-evaluation-harness draws its few-shot examples and its bootstrap with them, so
// that the same seed asks a model the same questions here. Not for anything else: Hearth's own numbers are counter-based.

const [N, M] = [624, 397]

/**
 * MT19937 with the seeding and the methods of Python's `random.Random`.
 * Source: Matsumoto and Nishimura 1998, and the documentation and behaviour of CPython 3.
 */
export class PythonRandom {
  readonly #state = new Uint32Array(N)
  #next = N

  /** @param seed a whole number from 0; larger ones than 32 bits are two words, as in Python */
  constructor(seed: number) {
    const key = seed < 2 ** 32 ? [seed] : [seed % 2 ** 32, Math.floor(seed / 2 ** 32)]
    const state = this.#state
    state[0] = 19650218
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, before(state[i - 1]!)) + i
    let i = 1
    const step = () => {
      i++
      if (i < N) return
      state[0] = state[N - 1]!
      i = 1
    }
    for (let n = 0; n < N; n++) {
      const j = n % key.length
      state[i] = (state[i]! ^ Math.imul(before(state[i - 1]!), 1664525)) + key[j]! + j
      step()
    }
    for (let n = 1; n < N; n++) {
      state[i] = (state[i]! ^ Math.imul(before(state[i - 1]!), 1566083941)) - i
      step()
    }
    state[0] = 0x80000000
  }

  /** Uniform in [0, 1), with 53 bits. */
  random(): number {
    const high = this.#word() >>> 5
    return (high * 2 ** 26 + (this.#word() >>> 6)) / 2 ** 53
  }

  /** Uniform in 0 to n - 1. */
  below(n: number): number {
    const bits = 32 - Math.clz32(n)
    for (;;) {
      const drawn = this.#word() >>> (32 - bits)
      if (drawn < n) return drawn
    }
  }

  /** `count` different elements, as `random.sample` draws them. */
  sample<T>(from: readonly T[], count: number): T[] {
    const room = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0)
    if (from.length <= room) {
      const pool = [...from]
      return Array.from({ length: count }, (_, i) => {
        const j = this.below(from.length - i)
        const drawn = pool[j]!
        pool[j] = pool[from.length - i - 1]!
        return drawn
      })
    }
    const taken = new Set<number>()
    return Array.from({ length: count }, () => {
      let j = this.below(from.length)
      while (taken.has(j)) j = this.below(from.length)
      taken.add(j)
      return from[j]!
    })
  }

  #word(): number {
    if (this.#next >= N) this.#turn()
    let word = this.#state[this.#next++]!
    word ^= word >>> 11
    word ^= (word << 7) & 0x9d2c5680
    word ^= (word << 15) & 0xefc60000
    return (word ^ (word >>> 18)) >>> 0
  }

  #turn(): void {
    const state = this.#state
    for (let i = 0; i < N; i++) {
      const word = (state[i]! & 0x80000000) | (state[(i + 1) % N]! & 0x7fffffff)
      state[i] = state[(i + M) % N]! ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0)
    }
    this.#next = 0
  }
}

const before = (word: number): number => word ^ (word >>> 30)
