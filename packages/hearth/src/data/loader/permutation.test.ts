import { describe, expect, test } from 'vitest'
import { permute } from './permutation.js'

describe('permute', () => {
  test.each([1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])('visits each of %i places once', (size) => {
    for (const key of [
      [0, 0],
      [1, 2],
    ] as const) {
      const places = new Set(Array.from({ length: size }, (_, i) => permute(i, size, key)))
      expect(places.size).toBe(size)
      expect(Math.max(...places)).toBe(size - 1)
      expect(Math.min(...places)).toBe(0)
    }
  })

  test('each key has an order of its own, and no place is preferred', () => {
    const size = 50
    const counts = new Float64Array(size)
    for (let key = 0; key < 4000; key++) counts[permute(7, size, [key, 0])]! += 1
    const chiSquare = counts.reduce((sum, count) => sum + (count - 80) ** 2 / 80, 0)
    expect(chiSquare).toBeLessThan(95) // 49 degrees of freedom: p < 0.0001
  })

  test('does not keep neighbours together', () => {
    const size = 10_000
    let near = 0
    for (let i = 0; i + 1 < size; i++)
      near += Math.abs(permute(i, size, [3, 1]) - permute(i + 1, size, [3, 1])) < 10 ? 1 : 0
    expect(near).toBeLessThan(40) // 20 expected of a random order
  })

  test('takes sizes beyond 32 bits', () => {
    const size = 2 ** 45 + 3
    const places = new Set(Array.from({ length: 1000 }, (_, i) => permute(2 ** 44 + i, size, [5, 5])))
    expect(places.size).toBe(1000)
    for (const place of places) expect(place >= 0 && place < size && Number.isInteger(place)).toBe(true)
  })
})
