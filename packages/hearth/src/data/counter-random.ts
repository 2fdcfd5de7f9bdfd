/**
 * Randomness as a pure function of (seed, stream, counter): Philox4x32-10, so that any step of a run can be reproduced
 * without replaying the steps before it. Not a generator with state: nothing here remembers what was drawn last.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
 */

/** Four 32-bit words: the counter that goes in and the random bits that come out. */
export type Words4 = readonly [number, number, number, number]

/** Two 32-bit words: the key, made from a seed by `seedKey`. */
export type Words2 = readonly [number, number]

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers, by 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const low = aLow * bLow
  const middle = aHigh * bLow + (low >>> 16)
  const carry = aLow * bHigh + (middle & 0xffff) // at most 2^32 - 2^16: exact
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0
}

/**
 * Ten rounds of Philox4x32: 128 bits that look random for every pair of counter and key.
 *
 * @param counter four words; different counters give independent results
 * @param key two words, from `seedKey` or from an earlier result
 * @returns four unsigned 32-bit words
 */
export function philox(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0)
    const high1 = multiplyHigh(0xcd9e8d57, c2)
    const low0 = Math.imul(0xd2511f53, c0)
    const low1 = Math.imul(0xcd9e8d57, c2)
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1 >>> 0
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0 >>> 0
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** Low and high 32-bit words of an integer from 0 to 2^53 - 1. */
export function words(value: number): Words2 {
  return [value % 0x1_0000_0000, Math.floor(value / 0x1_0000_0000)]
}

/** The Philox key of a seed (an integer from 0 to 2^53 - 1). */
export function seedKey(seed: number): Words2 {
  return words(seed)
}

/** Two words as one integer from 0 to 2^53 - 1: the top 53 of their 64 bits. */
export function integer53(high: number, low: number): number {
  return high * 0x20_0000 + (low >>> 11)
}

/** Two words as a number in [0, 1) with 53 random bits. */
export function uniform(high: number, low: number): number {
  return integer53(high, low) / 2 ** 53
}

/**
 * A seed for another generator, as a function of where it is used and of nothing else: equal counters give equal seeds,
 * different ones independent seeds.
 *
 * @param seed the run's seed
 * @param counters which use it is: the step, the slot, ...; integers from 0 to 2^53 - 1
 * @returns an integer from 0 to 2^53 - 1
 * @example
 * const generator = new Generator(hashCounters(run.seed, step, slot))
 */
export function hashCounters(seed: number, ...counters: number[]): number {
  let hash = philox([0, 0, 0, counters.length], seedKey(seed))
  counters.forEach((counter, place) => {
    const [low, high] = words(counter)
    hash = philox([low, high, place, 1], [hash[0], hash[1]])
  })
  return integer53(hash[0], hash[1])
}
