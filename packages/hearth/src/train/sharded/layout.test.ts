import { describe, expect, test } from 'vitest'
import { NORM_CHUNK } from '../../optim/index.js'
import { elementsOf, pieceShape, shardLayout, unitsOf, type Shapes } from './layout.js'

const SHAPES: Shapes = {
  'embed.weight': [1000, 64],
  'blocks.0.attention.weight': [192, 64],
  'blocks.0.attention.bias': [192],
  'blocks.0.up.weight': [1024, 64],
  'blocks.1.attention.weight': [192, 64],
  'blocks.1.attention.bias': [192],
  'blocks.1.up.weight': [1024, 64],
  'norm.weight': [64],
}

describe.each([1, 2, 3, 4, 8])('the layout for %i shards', (count) => {
  const layout = shardLayout(SHAPES, count)
  const pieces = unitsOf(layout).flatMap(({ shards }) => shards.flat())

  test('holds every element of every weight once, in order', () => {
    for (const [path, shape] of Object.entries(SHAPES)) {
      const own = pieces.filter((piece) => piece.path === path)
      expect(own[0]!.start).toBe(0)
      expect(own.at(-1)!.end).toBe(elementsOf(shape))
      own.slice(1).forEach((piece, i) => expect(piece.start).toBe(own[i]!.end))
    }
  })

  test('cuts only where the chunks of the norm are, and gives each rank its share to within a chunk', () => {
    expect(pieces.every(({ start }) => start % NORM_CHUNK === 0)).toBe(true)
    for (const { shards, elements, shardLength } of unitsOf(layout)) {
      for (const shard of shards) {
        const held = shard.reduce((sum, { start, end }) => sum + end - start, 0)
        expect(Math.abs(held - elements / count)).toBeLessThanOrEqual(NORM_CHUNK)
      }
      expect(shardLength).toBeLessThanOrEqual(elements / count + NORM_CHUNK + 32 * 5)
    }
  })

  test('begins every piece at a cache line, without overlap', () => {
    for (const { shards, shardLength } of unitsOf(layout))
      for (const shard of shards) {
        let end = 0
        for (const piece of shard) {
          expect(piece.offset % 32).toBe(0)
          expect(piece.offset).toBeGreaterThanOrEqual(end)
          end = piece.offset + piece.end - piece.start
        }
        expect(end).toBeLessThanOrEqual(shardLength)
      }
  })
})

describe('a layout', () => {
  test('has the blocks in their order, and all else around them', () => {
    const shapes = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`blocks.${i}.weight`, [4, 4]]))
    const { outer, blocks } = shardLayout({ 'embed.weight': [8, 4], ...shapes, 'head.weight': [8, 4] }, 2)
    expect(blocks.map(({ name }) => name)).toEqual(Array.from({ length: 12 }, (_, i) => `blocks.${i}`))
    expect(outer.shards.flat().map(({ path }) => path)).toEqual(['embed.weight', 'head.weight'])
  })

  test('keeps matrices and vectors apart for optimizers that ask', () => {
    const { blocks } = shardLayout(SHAPES, 4)
    const partial = blocks[0]!.shards.flat().find(({ path, end }) => path.endsWith('up.weight') && end < 65536)!
    expect(pieceShape(partial, SHAPES)).toEqual([1, partial.end - partial.start])
    const bias = blocks[0]!.shards.flat().find(({ path }) => path.endsWith('bias'))!
    expect(pieceShape(bias, SHAPES)).toEqual([192])
  })
})
