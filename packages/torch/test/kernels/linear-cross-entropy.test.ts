// hearth::linear_cross_entropy: against float64, and in float64 against the plain form that makes all logits.
import { describe, expect, test } from 'vitest'
import {
  backward,
  linear,
  memoryStats,
  nllLoss,
  noGrad,
  numThreads,
  resetPeakMemory,
  scope,
  setNumThreads,
  tensor,
  TorchError,
  zeros,
  type Tensor,
} from '../../src/index.js'
import { expectLikeFloat64, hearthOperator, KERNEL_DTYPES, normal, relativeError } from './against-float64.js'

const loss = hearthOperator('linear_cross_entropy')
const targetsOf = (rows: number, classes: number, ignored: number[] = []): Tensor =>
  tensor(
    Array.from({ length: rows }, (_, i) => (ignored.includes(i) ? -100 : (i * 7919 + 3) % classes)),
    { dtype: 'int64' },
  )

// Rows, width, vocabulary: one row, odd sizes, several chunks of rows, several blocks of a 16-bit weight.
const SHAPES = [
  [1, 3, 2],
  [7, 5, 33],
  [300, 17, 101],
  [130, 8, 2500],
] as const

describe.each(KERNEL_DTYPES)('the fused loss in %s', (dtype) => {
  test.each(SHAPES)('of %d rows of %d to %d classes agrees with float64', (rows, width, classes) => {
    const targets = targetsOf(rows, classes, [2, 5])
    const operands = [normal([rows, width], dtype, 1), normal([classes, width], dtype, 2), normal([classes], dtype, 3)]
    for (const mean of [true, false]) {
      expectLikeFloat64((h, w, b) => loss(h, w, b, targets, -100, mean), operands, dtype)
      expectLikeFloat64((h, w) => loss(h, w, undefined, targets, -100, mean), operands.slice(0, 2), dtype)
    }
  })

  test('agrees on operands that are not contiguous', () => {
    const operands = [normal([17, 40], dtype, 1).transpose(0, 1), normal([17, 21], dtype, 2).transpose(0, 1)]
    expectLikeFloat64((h, w) => loss(h, w, undefined, targetsOf(40, 21)), operands, dtype)
  })

  test('has the same bits with one thread and two', () => {
    const before = numThreads()
    const targets = targetsOf(300, 501)
    const results = [1, 2].map((threads) => {
      setNumThreads(threads)
      const [h, w, b] = [normal([300, 24], dtype, 1), normal([501, 24], dtype, 2), normal([501], dtype, 3)].map((x) =>
        x.setRequiresGrad(true),
      ) as [Tensor, Tensor, Tensor]
      const value = loss(h, w, b, targets)
      backward(value)
      return [value, h.grad!, w.grad!, b.grad!].map((x) => x.toArray())
    })
    setNumThreads(before)
    expect(results[1]).toEqual(results[0])
  })
})

test('in float64 it is the plain form', () => {
  scope(() => {
    const targets = targetsOf(300, 37, [0, 299])
    const [fused, plain] = [loss, plainLoss].map((form) => {
      const leaves = [normal([300, 9], 'float64', 1), normal([37, 9], 'float64', 2), normal([37], 'float64', 3)]
      leaves.forEach((leaf) => leaf.setRequiresGrad(true))
      const value = form(leaves[0]!, leaves[1]!, leaves[2]!, targets)
      backward(value.mul(3))
      return [value, ...leaves.map((leaf) => leaf.grad!)]
    }) as [Tensor[], Tensor[]]
    fused.forEach((got, i) => expect(relativeError(got, plain[i]!)).toBeLessThan(1e-12))
  })
})

const plainLoss = (h: Tensor, w: Tensor, bias: Tensor, targets: Tensor): Tensor =>
  nllLoss(linear(h, w, { bias }).logSoftmax(-1), targets)

test('a second backward pass through the same graph gives the same gradient again', () => {
  const w = normal([11, 4], 'float32', 2).setRequiresGrad(true)
  const value = loss(normal([6, 4], 'float32', 1), w, undefined, targetsOf(6, 11))
  backward(value, { retainGraph: true })
  const once = w.grad!.toArray()
  backward(value)
  expect(w.grad!.toArray()).toEqual(once.map((x) => 2 * x))
})

test('rows that do not count have no gradient, and of none of them the mean is NaN', () => {
  const h = normal([3, 4], 'float32', 1).setRequiresGrad(true)
  const w = normal([5, 4], 'float32', 2)
  backward(loss(h, w, undefined, targetsOf(3, 5, [1])))
  expect(h.grad!.toArray().slice(4, 8)).toEqual([0, 0, 0, 0])
  expect(loss(h, w, undefined, targetsOf(3, 5, [0, 1, 2])).item()).toBeNaN()
  expect(loss(h, w, undefined, targetsOf(3, 5, [0, 1, 2]), -100, false).item()).toBe(0)
})

test('logits far from zero do not overflow', () => {
  const h = tensor([[1000], [-1000]])
  const w = tensor([[1], [-1]])
  expect(loss(h, w, undefined, tensor([0, 0], { dtype: 'int64' }), -100, false).item()).toBe(2000)
})

test('of 8192 rows and 3000 classes it needs at most a tenth of the logits beside its gradients', () => {
  scope(() => {
    const [h, w] = [normal([8192, 8], 'float32', 1), normal([3000, 8], 'float32', 2)]
    h.setRequiresGrad(true)
    w.setRequiresGrad(true)
    const targets = targetsOf(8192, 3000)
    resetPeakMemory()
    const before = memoryStats().allocatedBytes
    backward(loss(h, w, undefined, targets))
    const extra = memoryStats().peakBytes - before - h.nbytes - w.nbytes
    expect(extra).toBeGreaterThan(0)
    expect(extra).toBeLessThan(0.1 * 8192 * 3000 * 4)
  })
})

test('what does not fit is refused, with what was given', () => {
  const [h, w] = [zeros([2, 3]), zeros([4, 3])]
  noGrad(() => {
    expect(() => loss(h, zeros([4, 2]), undefined, targetsOf(2, 4))).toThrow(/\[2, 3\] and \[4, 2\]/)
    expect(() => loss(h, w.to('float64'), undefined, targetsOf(2, 4))).toThrow(TorchError)
    expect(() => loss(h, w, zeros([3]), targetsOf(2, 4))).toThrow(/bias/)
    expect(() => loss(h, w, undefined, targetsOf(3, 4))).toThrow(/targets/)
    expect(() => loss(h, w, undefined, tensor([0, 4], { dtype: 'int64' }))).toThrow(/target 4 at 1/)
    expect(() => loss(h, w, undefined, tensor([0, -1], { dtype: 'int64' }))).toThrow(/target -1 at 1/)
  })
})
