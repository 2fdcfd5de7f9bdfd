import { describe, expect, test } from 'vitest'
import { Mixture } from './mixture.js'

const weightSets = [[1], [1, 1], [3, 1], [0.7, 0.2, 0.1], [5, 1, 1, 1], [1e-9, 1], [1e6, 3e6, 2e6]]

describe('Mixture', () => {
  test.each(weightSets)('numbers the sequences of each source without gaps (%j, …)', (...weights) => {
    const mixture = new Mixture(weights, 3)
    const next = weights.map(() => 0)
    for (let n = 0; n < 5000; n++) {
      expect(mixture.counts(n)).toEqual(next)
      const { source, ordinal } = mixture.pick(n)
      expect(ordinal).toBe(next[source])
      next[source]!++
    }
  })

  test('keeps the proportions in every stretch of a run', () => {
    const weights = [0.5, 0.3, 0.2]
    const mixture = new Mixture(weights, 1)
    for (const start of [0, 12_345, 2 ** 40]) {
      for (const length of [10, 100, 10_000]) {
        const before = mixture.counts(start)
        const counts = mixture.counts(start + length).map((count, i) => count - before[i]!)
        counts.forEach((count, i) => expect(Math.abs(count - weights[i]! * length)).toBeLessThanOrEqual(2.5))
      }
    }
  })

  test('is exact in the long run', () => {
    const counts = new Mixture([3, 1], 9).counts(2 ** 50)
    expect(counts).toEqual([3 * 2 ** 48, 2 ** 48])
  })

  test('starts at another place for another seed', () => {
    const order = (seed: number): string => {
      const mixture = new Mixture([1, 1, 1, 1, 1, 1, 1], seed)
      return Array.from({ length: 30 }, (_, n) => mixture.pick(n).source).join('')
    }
    expect(new Set([1, 2, 3, 4, 5].map(order)).size).toBeGreaterThan(1)
    expect(order(1)).toBe(order(1))
  })
})
