import { expect, test } from 'vitest'
import { overlappingBatches } from './held-out.js'

test.each([
  [2, 4],
  [5, 4],
  [6, 4],
  [7, 4],
  [200, 8],
  [1000, 7],
])('of %i tokens in windows of %i each but the first is a target once, after what precedes it', (count, length) => {
  const ids = Int32Array.from({ length: count }, (_, i) => i + 1)
  const targets: number[] = []
  for (const batch of overlappingBatches(ids, length)) {
    batch.targets.forEach((target, place) => {
      if (target < 0) return
      targets.push(target)
      expect(batch.inputs[place]).toBe(target - 1)
    })
  }
  expect(targets).toEqual(Array.from({ length: count - 1 }, (_, i) => i + 2))
})
