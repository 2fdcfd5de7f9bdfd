import { ConfigError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import type { TokenSequence } from '../shards/token-shards.js'
import { heldOutBatches, IGNORED_TARGET } from './held-out-batches.js'

function places(tokens: number): TokenSequence {
  return {
    tokens,
    read: (start, into, at, count) => {
      if (start < 0 || start + count > tokens) throw new RangeError('outside')
      for (let i = 0; i < count; i++) into[at + i] = start + i
    },
  }
}

describe('heldOutBatches', () => {
  test.each([2, 3, 9, 10, 11, 40, 41, 42, 81, 100])('of %i tokens, each but the first is a target once', (tokens) => {
    const targets: number[] = []
    for (const batch of heldOutBatches(places(tokens), { batch: 4, sequenceLength: 10 })) {
      const [rows, length] = batch.shape
      expect(rows).toBeLessThanOrEqual(4)
      expect(batch.inputs).toHaveLength(rows * length)
      expect(batch.targets).toHaveLength(rows * length)
      batch.targets.forEach((target, i) => {
        if (target !== IGNORED_TARGET) {
          expect(batch.inputs[i]).toBe(target - 1)
          targets.push(target)
        } else expect(batch.inputs[i]).toBe(0)
      })
      expect(batch.targets.some((target) => target !== IGNORED_TARGET)).toBe(true)
    }
    expect(targets).toEqual(Array.from({ length: tokens - 1 }, (_, i) => i + 1))
  })

  test('refuses sizes that are none, and text without a target', () => {
    const first = (tokens: number, batch: number) => () =>
      heldOutBatches(places(tokens), { batch, sequenceLength: 10 }).next()
    expect(first(10, 0)).toThrow(ConfigError)
    expect(first(10, 1.5)).toThrow(/batch: got 1\.5; expected a positive integer/)
    expect(first(1, 1)).toThrow(/shards: has 1 tokens; expected at least 2/)
  })
})
