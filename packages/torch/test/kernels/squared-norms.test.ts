// hearth::squared_norms of many tensors in one call; clipping by it is tested in packages/hearth/src/optim.
import { describe, expect, test } from 'vitest'
import { call, numThreads, scope, setNumThreads, tensor, type Tensor } from '../../src/index.js'
import { KERNEL_DTYPES, normal } from './against-float64.js'

const normOf = (gradients: readonly Tensor[]) =>
  scope(() => Math.sqrt((call('hearth::squared_norms', gradients) as Tensor).sum().item()))

describe.each(KERNEL_DTYPES)('the norm of gradients in %s', (dtype) => {
  const gradients = [1, 7, (1 << 14) - 1, 1 << 14, (1 << 14) + 1, 100_003].map((size, i) => normal([size], dtype, i))

  test('is that of all elements together', () => {
    const squares = gradients.flatMap((gradient) => gradient.toArray()).reduce((sum, x) => sum + x * x, 0)
    expect(Math.abs(normOf(gradients) / Math.sqrt(squares) - 1)).toBeLessThan(1e-6)
  })

  test('has the same bits with one thread and two', () => {
    const before = numThreads()
    const norms = [1, 2].map((threads) => {
      setNumThreads(threads)
      return normOf(gradients)
    })
    setNumThreads(before)
    expect(norms[1]).toBe(norms[0])
  })
})

test('takes tensors of different dtypes, and transposed ones', () => {
  const transposed = tensor([
    [3, 0],
    [0, 0],
  ]).transpose(0, 1)
  expect(normOf([transposed, tensor([4], { dtype: 'bfloat16' })])).toBe(5)
  expect(normOf([transposed, tensor([4], { dtype: 'float64' })])).toBe(5)
})

test('of integers it is refused', () => {
  expect(() => normOf([tensor([1], { dtype: 'int64' })])).toThrow(/floats/)
})
