import { ConfigError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import type { TokenSequence } from '../shards/token-shards.js'
import { createLoader } from './loader.js'

/** Tokens that are their own places, so that a batch shows where it was read. */
function places(tokens: number, from = 0): TokenSequence {
  return {
    tokens,
    read: (start, into, at, count) => {
      if (start < 0 || start + count > tokens) throw new RangeError('outside')
      for (let i = 0; i < count; i++) into[at + i] = from + start + i
    },
  }
}

const seed = 11

describe('createLoader', () => {
  test('targets are the tokens that follow, also where the text closes to a ring', () => {
    const loader = createLoader({ datasets: [{ shards: places(103) }], batch: 5, sequenceLength: 10, seed })
    for (let step = 0; step < 20; step++) {
      const { inputs, targets, shape } = loader.batchAt(step)
      expect(shape).toEqual([5, 10])
      inputs.forEach((id, i) => {
        expect(targets[i]).toBe((id + 1) % 103)
        if (i % 10 > 0) expect(id).toBe((inputs[i - 1]! + 1) % 103)
      })
    }
  })

  test('an epoch uses every token at most once and leaves out fewer than a sequence', () => {
    const loader = createLoader({ datasets: [{ shards: places(1037) }], batch: 1, sequenceLength: 10, seed })
    const starts: number[] = []
    for (let epoch = 0; epoch < 4; epoch++) {
      const seen = new Set<number>()
      for (let i = 0; i < 103; i++) {
        const { inputs } = loader.batchAt(epoch * 103 + i)
        if (i === 0) starts.push(inputs[0]! % 10)
        for (const id of inputs) {
          expect(seen.has(id)).toBe(false)
          seen.add(id)
        }
      }
      expect(seen.size).toBe(1030)
      expect(loader.epochsAt((epoch + 1) * 103)).toEqual([epoch + 1])
    }
    expect(new Set(starts).size).toBeGreaterThan(1) // windows do not always begin at the same places
  })

  test('epochs differ in order, seeds too, and equal seeds agree', () => {
    const make = (seed: number) =>
      createLoader({ datasets: [{ shards: places(1000) }], batch: 10, sequenceLength: 10, seed })
    const first = Array.from({ length: 10 }, (_, step) => [...make(1).batchAt(step).inputs])
    const again = Array.from({ length: 10 }, (_, step) => [...make(1).batchAt(step).inputs])
    expect(again).toEqual(first)
    expect([...make(1).batchAt(10).inputs]).not.toEqual(first[0])
    expect([...make(2).batchAt(0).inputs]).not.toEqual(first[0])
  })

  test('any step is found at once', () => {
    const loader = createLoader({ datasets: [{ shards: places(2 ** 40) }], batch: 8, sequenceLength: 16, seed })
    const started = performance.now()
    for (let i = 0; i < 1000; i++) loader.batchAt(2 ** 45 + i)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(() => loader.batchAt(-1)).toThrow(RangeError)
    expect(() => loader.batchAt(0.5)).toThrow(RangeError)
    expect(() => loader.batchAt(2 ** 52)).toThrow(/step 4503599627370496 is no step/)
  })

  test('the slots of a step are its batch, cut equally', () => {
    const loader = createLoader({ datasets: [{ shards: places(999) }], batch: 12, sequenceLength: 7, seed })
    const whole = loader.batchAt(3)
    for (const slots of [1, 2, 3, 4, 6, 12]) {
      const parts = Array.from({ length: slots }, (_, slot) => loader.slotAt(3, slot, slots))
      expect(parts.flatMap(({ inputs }) => [...inputs])).toEqual([...whole.inputs])
      expect(parts.flatMap(({ targets }) => [...targets])).toEqual([...whole.targets])
      expect(parts[0]!.shape).toEqual([12 / slots, 7])
    }
    expect(() => loader.slotAt(0, 0, 5)).toThrow(/slots must divide the batch equally/)
    expect(() => loader.slotAt(0, 2, 2)).toThrow(RangeError)
  })

  test('datasets are mixed by weight, each with epochs of its own', () => {
    const datasets = [
      { shards: places(500), weight: 3 },
      { shards: places(100_000, 1_000_000), weight: 1 },
    ]
    const loader = createLoader({ datasets, batch: 8, sequenceLength: 10, seed })
    let [first, second] = [0, 0]
    const seen = new Set<number>()
    for (let step = 0; step < 100; step++) {
      const { inputs } = loader.batchAt(step)
      for (let row = 0; row < 8; row++) {
        const id = inputs[row * 10]!
        if (id < 1_000_000) first++
        else second++
        if (id >= 1_000_000) expect(seen.has(id)).toBe(false)
        seen.add(id)
      }
    }
    expect([first, second]).toEqual([600, 200])
    expect(loader.epochsAt(100)).toEqual([12, 0.02])
  })

  test('without weights, datasets are mixed by their tokens', () => {
    const datasets = [{ shards: places(3000) }, { shards: places(1000, 10_000) }]
    const loader = createLoader({ datasets, batch: 4, sequenceLength: 10, seed })
    expect(loader.epochsAt(100)).toEqual([1, 1])
  })

  test('names everything that is impossible, at once', () => {
    const make = () =>
      createLoader({
        datasets: [
          { shards: places(10), weight: 0 },
          { shards: places(100), weight: Number.NaN },
        ],
        batch: 0,
        sequenceLength: 10,
        seed: -1,
      })
    expect(make).toThrow(ConfigError)
    expect(make).toThrow(
      /batch: got 0[^]*seed: got -1[^]*datasets\[0\]\.weight: got 0[^]*datasets\[0\]: has 10 tokens; a sequence of 10 needs 11[^]*datasets\[1\]\.weight: got NaN/,
    )
    expect(() => createLoader({ datasets: [], batch: 1, sequenceLength: 1, seed: 0 })).toThrow(/expected at least one/)
  })
})
