import { ConfigError, Generator, memoryStats, numThreads, ones, randn, setNumThreads, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { adamw, clipGradients, clipScale, gradientNorm, NORM_CHUNK } from './index.js'

const live = () => ({ tensors: memoryStats().liveTensors, bytes: memoryStats().liveBytes })
const generator = new Generator(3)
const random = (shape: number[]) => randn(shape, { generator })

describe('the global norm', () => {
  test('is that of all elements together, in tensors below, at and above a chunk', () => {
    const sizes = [1, 7, NORM_CHUNK - 1, NORM_CHUNK, NORM_CHUNK + 1, 3 * NORM_CHUNK + 5]
    const gradients = Object.fromEntries(sizes.map((size) => [`g${size}`, random([size])]))
    const all = Object.values(gradients).flatMap((gradient) => gradient.toArray())
    const exact = Math.sqrt(all.reduce((sum, value) => sum + value * value, 0))
    expect(Math.abs(gradientNorm(gradients) / exact - 1)).toBeLessThan(1e-6)
  })

  test('is accurate where one long float32 sum is not', () => {
    expect(Math.abs(gradientNorm({ g: ones([30_000_000]) }) / Math.sqrt(30_000_000) - 1)).toBeLessThan(1e-7)
  })

  test('has the same bits for any number of threads', () => {
    const before = numThreads()
    const gradients = { matrix: random([1001, 777]), bias: random([999]) }
    const norms = [1, 2, 3].map((threads) => {
      setNumThreads(threads)
      return gradientNorm(gradients)
    })
    setNumThreads(before)
    expect(norms).toEqual([norms[0], norms[0], norms[0]])
  })

  test('takes transposed, bfloat16, empty and missing gradients', () => {
    const gradients = {
      transposed: tensor([
        [3, 0],
        [0, 0],
      ]).transpose(0, 1),
      rough: tensor([4], { dtype: 'bfloat16' }),
      empty: ones([0]),
      missing: undefined,
    }
    expect(gradientNorm(gradients)).toBe(5)
    expect(gradientNorm({})).toBe(0)
  })

  test('is not finite when a gradient is not', () => {
    expect(gradientNorm({ g: tensor([1, Number.NaN]) })).toBeNaN()
    expect(gradientNorm({ g: tensor([1, Number.POSITIVE_INFINITY]) })).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('clipping', () => {
  test('leaves gradients alone whose norm is small enough, or not finite', () => {
    const gradients = { a: tensor([3]), b: tensor([4]) }
    expect(clipGradients(gradients, 5.1)).toBe(5)
    expect([gradients.a.item(), gradients.b.item()]).toEqual([3, 4])
    const broken = { a: tensor([Number.POSITIVE_INFINITY, 2]) }
    expect(clipGradients(broken, 1)).toBe(Number.POSITIVE_INFINITY)
    expect(broken.a.toArray()).toEqual([Number.POSITIVE_INFINITY, 2])
  })

  test('inside the update does what clipping before it does', () => {
    const optimizer = adamw()
    const [before, inside] = [{ w: tensor([[1, 2]]) }, { w: tensor([[1, 2]]) }]
    const gradients = { w: tensor([[30, 40]]) }
    const gradientScale = clipScale(gradientNorm(gradients), 1)
    const common = { step: 0, learningRate: 0.1 }
    optimizer.update({ ...common, weights: inside, gradients, state: optimizer.init(inside), gradientScale })
    clipGradients(gradients, 1)
    expect(gradientNorm(gradients)).toBeCloseTo(1, 6)
    optimizer.update({ ...common, weights: before, gradients, state: optimizer.init(before) })
    expect(inside.w.toArray()).toEqual(before.w.toArray())
  })

  test('leaves no tensors behind', () => {
    const gradients = { w: random([300, 300]) }
    const before = live()
    for (let i = 0; i < 20; i++) clipGradients(gradients, 0.5)
    expect(live()).toEqual(before)
  })

  test.each([0, -1, Number.NaN])('refuses a largest norm of %d', (maxNorm) => {
    expect(() => clipGradients({ w: ones([1]) }, maxNorm)).toThrow(ConfigError)
  })
})
