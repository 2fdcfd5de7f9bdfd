// hearth::embedding: rows, and the gradient of the table against float64.
import { describe, expect, test } from 'vitest'
import { backward, call, numThreads, setNumThreads, tensor, zeros, type Tensor } from '../../src/index.js'
import { expectLikeFloat64, hearthOperator, KERNEL_DTYPES, normal } from './against-float64.js'

const embedding = hearthOperator('embedding')
const idsOf = (shape: readonly [number, number], rows: number, dtype: 'int64' | 'int32' = 'int64'): Tensor =>
  tensor(
    Int32Array.from({ length: shape[0] * shape[1] }, (_, i) => (i * i * 31 + i) % rows),
    { dtype, shape },
  )

describe.each(KERNEL_DTYPES)('embedding in %s', (dtype) => {
  // Tokens, rows, width: rows that occur often, once and never.
  test.each([
    [[1, 1], 1, 1],
    [[3, 40], 7, 33],
    [[2, 70], 300, 16],
    [[1, 500], 3, 5],
  ] as const)('of ids %j in %d rows of %d agrees with float64', (shape, rows, width) => {
    expectLikeFloat64((weight) => embedding(weight, idsOf(shape, rows)), [normal([rows, width], dtype, 1)], dtype)
  })

  test('has the same bits with one thread and two', () => {
    const before = numThreads()
    const gradients = [1, 2].map((threads) => {
      setNumThreads(threads)
      const weight = normal([900, 65], dtype, 1).setRequiresGrad(true)
      backward(embedding(weight, idsOf([4, 800], 900)), { gradient: normal([4, 800, 65], dtype, 2) })
      return weight.grad!.toArray()
    })
    setNumThreads(before)
    expect(gradients[1]).toEqual(gradients[0])
  })
})

test('int32 ids and ids that are not contiguous name the same rows', () => {
  const weight = normal([9, 4], 'float32', 1).setRequiresGrad(true)
  const ids = idsOf([5, 6], 9)
  backward(embedding(weight, ids), { gradient: normal([5, 6, 4], 'float32', 2) })
  const expected = weight.grad!.toArray()
  weight.grad = undefined
  backward(embedding(weight, idsOf([5, 6], 9, 'int32')), { gradient: normal([5, 6, 4], 'float32', 2) })
  expect(weight.grad!.toArray()).toEqual(expected)
  weight.grad = undefined
  const upstream = normal([5, 6, 4], 'float32', 2).transpose(0, 1)
  backward(embedding(weight, ids.transpose(0, 1)), { gradient: upstream })
  weight.grad!.toArray().forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
})

test('an id without a row is refused, in the gradient too', () => {
  const ids = tensor([[0, 3]], { dtype: 'int64' })
  expect(() => embedding(zeros([3, 2]), ids)).toThrow(/out of range/)
  expect(() => call('hearth::embedding_backward', zeros([1, 2, 4]), ids, 3)).toThrow(/rows from 0 to 2, got 0 to 3/)
  expect(() => call('hearth::embedding_backward', zeros([1, 1, 4]), ids, 4)).toThrow(/upstream/)
})
