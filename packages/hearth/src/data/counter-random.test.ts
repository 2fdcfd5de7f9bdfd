import { describe, expect, test } from 'vitest'
import { hashCounters, integer53, philox, uniform, words } from './counter-random.js'

describe('philox', () => {
  // kat_vectors of Random123, the authors' own library (philox4x32, 10 rounds).
  test('gives the known answers of Random123', () => {
    const ones = 0xffffffff
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8])
    expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd])
    expect(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toEqual([
      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
    ])
  })

  test('has uniform bytes and no correlation between neighbouring counters', () => {
    const counts = new Float64Array(256)
    let sum = 0
    const draws = 20_000
    let previous = 0.5
    let product = 0
    for (let i = 0; i < draws; i++) {
      const [low, high] = philox([i, 0, 0, 0], [7, 0])
      counts[low & 255]! += 1
      const value = uniform(high, low)
      sum += value
      product += (value - 0.5) * (previous - 0.5)
      previous = value
    }
    const expected = draws / 256
    const chiSquare = counts.reduce((total, count) => total + (count - expected) ** 2 / expected, 0)
    expect(chiSquare).toBeLessThan(340) // 255 degrees of freedom: p < 0.0003
    expect(Math.abs(sum / draws - 0.5)).toBeLessThan(0.01)
    expect(Math.abs(product / draws)).toBeLessThan(0.003)
  })
})

describe('seeds', () => {
  test('words split an integer of 53 bits without loss', () => {
    for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const [low, high] = words(value)
      expect(high * 2 ** 32 + low).toBe(value)
    }
    expect(integer53(0xffffffff, 0xffffffff)).toBe(Number.MAX_SAFE_INTEGER)
    expect(uniform(0xffffffff, 0xffffffff)).toBeLessThan(1)
  })

  test('hashCounters differs in each of its arguments and repeats for equal ones', () => {
    const seeds = new Set<number>()
    for (const seed of [0, 1, 2 ** 40])
      for (const step of [0, 1, 2 ** 33]) for (const slot of [0, 1]) seeds.add(hashCounters(seed, step, slot))
    for (const counters of [[], [0], [0, 0, 0]]) seeds.add(hashCounters(0, ...counters))
    expect(seeds.size).toBe(21)
    expect(hashCounters(3, 4, 1)).toBe(hashCounters(3, 4, 1))
    for (const seed of seeds) expect(Number.isSafeInteger(seed)).toBe(true)
  })
})
