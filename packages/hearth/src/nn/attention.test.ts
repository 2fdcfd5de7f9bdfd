import { Generator, grad, randn, tensor, zeros, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { relativeDistance } from '../../test/recorded.js'
import { attention, composedAttention, mergeHeads, rotaryTables, splitHeads, type AttentionOptions } from './index.js'

const random = (seed: number, ...shape: number[]) => randn(shape, { generator: new Generator(seed) })
const q = random(1, 2, 4, 5, 8)
const k = random(2, 2, 2, 5, 8)
const v = random(3, 2, 2, 5, 8)
const repeated = (x: Tensor) => x.repeatInterleave(2, { dim: 1 })

/** Row by row, as the paper writes it. */
function byDefinition(q: Tensor, k: Tensor, v: Tensor, scale: number): Tensor {
  return q.matmul(k.transpose(2, 3)).mul(scale).softmax(-1).matmul(v)
}

describe('attention', () => {
  test('without a mask every query sees every key', () => {
    const expected = byDefinition(q, repeated(k), repeated(v), 1 / Math.sqrt(8))
    expect(relativeDistance(attention(q, k, v), expected)).toBeLessThan(1e-6)
  })

  test('grouped heads give what repeated keys and values give, with and without causality', () => {
    for (const causal of [false, true])
      expect(
        relativeDistance(attention(q, k, v, { causal }), attention(q, repeated(k), repeated(v), { causal })),
      ).toBeLessThan(1e-6)
  })

  test('a causal query is untouched by what comes after it', () => {
    const whole = attention(q, k, v, { causal: true })
    const first = (x: Tensor) => x.narrow(2, 0, 3)
    expect(relativeDistance(attention(first(q), first(k), first(v), { causal: true }), first(whole))).toBeLessThan(1e-6)
  })

  test('queries fewer than keys stand at the end of the keys', () => {
    const whole = attention(q, k, v, { causal: true })
    for (const count of [1, 2]) {
      const last = q.narrow(2, 5 - count, count)
      const expected = whole.narrow(2, 5 - count, count)
      expect(relativeDistance(attention(last, k, v, { causal: true }), expected)).toBeLessThan(1e-6)
    }
  })

  test('an additive mask hides keys of one text of the batch, alone and together with causality', () => {
    const mask = zeros([2, 1, 1, 5])
    mask.narrow(0, 1, 1).narrow(3, 0, 2).fill_(-Infinity)
    const seen = (x: Tensor) => x.narrow(0, 1, 1).narrow(2, 2, 3)
    for (const causal of [false, true]) {
      const masked = attention(q, k, v, { mask, causal })
      const without = attention(q, k, v, { causal })
      expect(relativeDistance(masked.narrow(0, 0, 1), without.narrow(0, 0, 1))).toBeLessThan(1e-6)
      expect(relativeDistance(seen(masked), attention(seen(q), seen(k), seen(v), { causal }))).toBeLessThan(1e-6)
    }
  })

  test('the scale multiplies the scores', () => {
    expect(
      relativeDistance(attention(q, k, v, { scale: 0.3 }), byDefinition(q, repeated(k), repeated(v), 0.3)),
    ).toBeLessThan(1e-6)
    expect(
      relativeDistance(
        attention(q, k, v, { scale: 0.3, causal: true }),
        attention(q.mul(0.3), k, v, { scale: 1, causal: true }),
      ),
    ).toBeLessThan(1e-6)
  })

  test('another length in between changes nothing, forward or backward', () => {
    const [x, y] = [q.clone().setRequiresGrad(true), q.clone().setRequiresGrad(true)]
    const first = attention(x, k, v, { causal: true })
    attention(random(5, 1, 1, 300, 8), random(6, 1, 1, 300, 8), random(7, 1, 1, 300, 8), { causal: true })
    const second = attention(y, k, v, { causal: true })
    expect(second.toArray()).toEqual(first.toArray())
    const gradientOf = (input: Tensor, output: Tensor) => grad([output], [input], { gradOutputs: [q] })[0]!.toArray()
    expect(gradientOf(y, second)).toEqual(gradientOf(x, first))
  })

  const documents = tensor([0, 0, 7, 7, 7, 3, 3, 3, 3, 3], { shape: [2, 5], dtype: 'int64' })
  const rotary = rotaryTables({ dims: 6, theta: 100, contextLength: 16, scaling: { kind: 'default' } }, 0, 5)

  test.each<[string, AttentionOptions]>([
    ['causal', { causal: true }],
    ['a window', { window: 2 }],
    ['a causal window', { causal: true, window: 3 }],
    ['documents', { documents }],
    ['rotary positions', { causal: true, rotary }],
    ['all of them', { causal: true, window: 3, documents, rotary, scale: 0.5 }],
  ])('in tiles is what it is composed of operators, with the same gradients: %s', (_, options) => {
    for (const queries of [5, 3]) {
      const leaves = [q.narrow(2, 5 - queries, queries), k, v].map((x) => x.clone().setRequiresGrad(true))
      const [x, y, z] = leaves as [Tensor, Tensor, Tensor]
      const tiled = attention(x, y, z, options)
      const composed = composedAttention(x, y, z, { scale: 1 / Math.sqrt(8), ...options })
      expect(relativeDistance(tiled, composed)).toBeLessThan(1e-5)
      const gradientsOf = (out: Tensor) =>
        grad([out], leaves, { gradOutputs: [random(9, 2, 4, queries, 8)] }) as Tensor[]
      const expected = gradientsOf(composed)
      for (const [i, got] of gradientsOf(tiled).entries())
        expect(relativeDistance(got, expected[i]!)).toBeLessThan(1e-5)
    }
  })

  test('heads that do not fit are refused', () => {
    expect(() => attention(q, random(1, 2, 3, 5, 8), random(1, 2, 3, 5, 8))).toThrow()
  })
})

test('splitting into heads and merging them gives the same again', () => {
  const x = tensor([...Array(24).keys()], { shape: [1, 3, 8] })
  expect(splitHeads(x, 2).shape).toEqual([1, 2, 3, 4])
  expect(splitHeads(x, 2).select(1, 1).select(1, 0).toArray()).toEqual([4, 5, 6, 7])
  expect(mergeHeads(splitHeads(x, 2)).toArray()).toEqual(x.toArray())
})
