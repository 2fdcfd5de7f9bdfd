// hearth::gelu in both its forms, with and without a bias, forward and gradients, against float64.
import { describe, expect, test } from 'vitest'
import { backward, numThreads, setNumThreads, tensor, zeros } from '../../src/index.js'
import { expectLikeFloat64, hearthOperator, KERNEL_DTYPES, normal } from './against-float64.js'

const gelu = hearthOperator('gelu')
const SHAPES = [[1], [7], [3, 5, 33], [70, 257]]

describe.each(KERNEL_DTYPES)('gelu in %s', (dtype) => {
  test.each(SHAPES.map((shape) => [shape]))('of shape %j agrees with float64', (shape) => {
    const x = normal(shape, dtype, 1).mul(2)
    const bias = normal([shape.at(-1)!], dtype, 2)
    for (const tanh of [false, true]) {
      expectLikeFloat64((x) => gelu(x, undefined, tanh), [x], dtype)
      expectLikeFloat64((x, bias) => gelu(x, bias, tanh), [x, bias], dtype)
    }
  })

  test('agrees on operands that are not contiguous', () => {
    const x = normal([33, 5], dtype, 1).transpose(0, 1)
    expectLikeFloat64((x, bias) => gelu(x, bias, true), [x, normal([33], dtype, 2)], dtype)
  })

  // Of a size that libtorch's own loops, in the reference form, cut into whole vectors.
  test('has the same bits with one thread and two', () => {
    const before = numThreads()
    const results = [1, 2].map((threads) => {
      setNumThreads(threads)
      const [x, bias] = [
        normal([704, 128], dtype, 1).setRequiresGrad(true),
        normal([128], dtype, 2).setRequiresGrad(true),
      ]
      const output = gelu(x, bias, true)
      backward(output, { gradient: normal([704, 128], dtype, 3) })
      return [output, x.grad!, bias.grad!].map((tensor) => tensor.toArray())
    })
    setNumThreads(before)
    expect(results[1]).toEqual(results[0])
  })
})

test.each([false, true])('far from zero it is the identity or nothing, tanh: %s', (tanh) => {
  expect(
    gelu(tensor([-1e4, 1e4]), undefined, tanh)
      .toArray()
      .map(Math.abs),
  ).toEqual([0, 1e4])
})

test('of nothing it is nothing', () => {
  expect(gelu(zeros([0, 4]), zeros([4])).shape).toEqual([0, 4])
})

test('a bias of another width is refused', () => {
  expect(() => gelu(zeros([2, 3]), zeros([2]))).toThrow(/\[2\] for x \[2, 3\]/)
})
