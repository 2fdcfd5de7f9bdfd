import { Generator, HearthError, memoryStats, randn, scope } from '@hearth/torch'
import { expect, test } from 'vitest'
import { KeyValueCache } from './index.js'

const shape = { layers: 2, batch: 1, heads: 2, headDim: 4, capacity: 6 }
const random = (seed: number, tokens: number) => randn([1, 2, tokens, 4], { generator: new Generator(seed) })
const cacheOf = (...counts: number[]) => {
  const cache = new KeyValueCache(shape)
  for (const count of counts) {
    for (const layer of [0, 1]) cache.append(layer, random(count + layer, count), random(count + layer + 10, count))
    cache.advance(count)
  }
  return cache
}

test('each layer gives back all its keys and values in order', () => {
  using cache = cacheOf(2, 3)
  const [keys, values] = cache.append(1, random(50, 1), random(60, 1))
  expect(cache.length).toBe(5)
  expect(keys.shape).toEqual([1, 2, 6, 4])
  expect(keys.narrow(2, 0, 2).toArray()).toEqual(random(3, 2).toArray())
  expect(keys.narrow(2, 2, 3).toArray()).toEqual(random(4, 3).toArray())
  expect(values.narrow(2, 5, 1).toArray()).toEqual(random(60, 1).toArray())
})

test('a truncated cache goes on from the earlier position', () => {
  using cache = cacheOf(2, 3)
  cache.truncate(2)
  const [keys] = cache.append(0, random(70, 1), random(70, 1))
  expect(keys.shape[2]).toBe(3)
  expect(keys.narrow(2, 2, 1).toArray()).toEqual(random(70, 1).toArray())
  cache.reset()
  expect([cache.length, cache.room]).toEqual([0, 6])
})

test('too many tokens are refused and leave the cache as it was', () => {
  using cache = cacheOf(4)
  expect(() => cache.append(0, random(1, 3), random(1, 3))).toThrow(/room for 2 of 6 tokens, got 3/)
  expect(() => cache.truncate(5)).toThrow(HearthError)
  expect(cache.length).toBe(4)
})

test('what is appended is not recorded for autograd, and lives beyond the scope it came from', () => {
  using cache = new KeyValueCache(shape)
  const keys = scope(() => cache.append(0, random(1, 2).setRequiresGrad(true), random(2, 2)))[0]
  expect(keys.requiresGrad).toBe(false)
  expect(keys.toArray()).toEqual(random(1, 2).toArray())
})

test('disposing frees every buffer', () => {
  const before = memoryStats().liveTensors
  const cache = new KeyValueCache(shape)
  expect(memoryStats().liveTensors).toBe(before + 4)
  cache.dispose()
  expect(memoryStats().liveTensors).toBe(before)
})
