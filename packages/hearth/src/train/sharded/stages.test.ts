import { ConfigError, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { SlotSum } from '../gradients.js'
import { checkSharding, fits, SHARDINGS, slotsOfRank, type Sharding } from './stages.js'

/** Sums in float32 whose order shows. */
const slotValue = (slot: number) => Math.fround(1 / (slot + 3))

const treeOf = (values: readonly number[]): number => {
  const sum = new SlotSum()
  for (const value of values) sum.add({ x: tensor(value) })
  return sum.finish().x!.item()
}

/** The sum as the ranks make it. */
function sumOverRanks(sharding: Sharding, slots: number, ranks: number): number {
  const own = Array.from({ length: ranks }, (_, rank) => slotsOfRank(sharding, slots, rank, ranks).map(slotValue))
  if (sharding === 'replicate' || sharding === 'optimizer') return treeOf(own.map(treeOf))
  return treeOf(own[0]!.map((_, round) => treeOf(own.map((values) => values[round]!))))
}

describe('slots of ranks', () => {
  test('are every slot once', () => {
    for (const sharding of SHARDINGS) {
      const all = Array.from({ length: 4 }, (_, rank) => slotsOfRank(sharding, 16, rank, 4)).flat()
      expect(all.sort((a, b) => a - b)).toEqual([...Array(16).keys()])
    }
  })

  test('are summed in the tree over all slots wherever they fit', () => {
    for (const sharding of SHARDINGS)
      for (let slots = 1; slots <= 24; slots++) {
        const expected = treeOf([...Array(slots).keys()].map(slotValue))
        for (let ranks = 1; ranks <= slots; ranks++)
          if (fits(sharding, slots, ranks)) expect(sumOverRanks(sharding, slots, ranks)).toBe(expected)
      }
  })
})

describe('what cannot be', () => {
  const fine = { sharding: 'everything', ranks: 2, slots: 4, optimizer: 'adamw', device: 'cpu' } as const

  test('is nothing where all fits', () => {
    expect(() => checkSharding(fine)).not.toThrow()
    expect(() => checkSharding({ ...fine, optimizer: 'muon', sharding: 'replicate' })).not.toThrow()
  })

  test('is said all at once, with what would do', () => {
    const wrong = { ...fine, ranks: 3, optimizer: 'muon', device: 'cuda' }
    let issues: readonly { path: string; message: string }[] = []
    try {
      checkSharding(wrong)
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError)
      issues = (error as ConfigError).issues
    }
    expect(issues.map(({ path }) => path)).toEqual(['ranks', 'optimizer.name', 'device'])
    expect(issues[0]!.message).toContain('choose 1, 2, 4')
  })
})
