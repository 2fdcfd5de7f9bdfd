import { describe, expect, test } from 'vitest'
import { partsOfRange, sharingIssues, slotRanges } from './slot-ranges.js'

/** The tree of additions over some numbers of leaves, as text. */
function tree(leaves: readonly string[]): string {
  const partial: { text: string; leaves: number }[] = []
  const merge = () => {
    const right = partial.pop()!
    const left = partial.pop()!
    partial.push({ text: `(${left.text}+${right.text})`, leaves: left.leaves + right.leaves })
  }
  for (const text of leaves) {
    partial.push({ text, leaves: 1 })
    while (partial.length > 1 && partial.at(-2)!.leaves === partial.at(-1)!.leaves) merge()
  }
  while (partial.length > 1) merge()
  return partial[0]!.text
}

describe('slots of machines', () => {
  test('add up in the tree of one machine, for every number of machines', () => {
    for (const slots of [1, 2, 4, 8, 16]) {
      const names = Array.from({ length: slots }, (_, slot) => String(slot))
      for (let machines = 1; machines <= slots; machines++) {
        const sums = slotRanges(slots, machines).map(({ first, count }) => tree(names.slice(first, first + count)))
        expect(tree(sums)).toBe(tree(names))
      }
    }
  })

  test('are cut into as many parts as workers, where there are enough', () => {
    expect(partsOfRange({ first: 4, count: 4 }, 2)).toEqual([
      [4, 5],
      [6, 7],
    ])
    expect(partsOfRange({ first: 2, count: 1 }, 4)).toEqual([[2]])
  })

  test('are refused where machines or workers cannot share them, all at once', () => {
    expect(sharingIssues(8, 3, 2)).toEqual([])
    expect(sharingIssues(4, 8, 3).map(({ path }) => path)).toEqual(['hosts', 'workers'])
    expect(sharingIssues(6, 2, 1).map(({ path }) => path)).toEqual(['slots'])
  })
})
