// hearth::swiglu, forward and gradients, against float64.
import { describe, expect, test } from 'vitest'
import { tensor, TorchError, zeros } from '../../src/index.js'
import { expectLikeFloat64, hearthOperator, KERNEL_DTYPES, normal } from './against-float64.js'

const swiglu = hearthOperator('swiglu')

describe.each(KERNEL_DTYPES)('swiglu in %s', (dtype) => {
  test.each([[[1]], [[7]], [[3, 5, 33]], [[2, 64, 257]]])('of shape %j agrees with float64', (shape) => {
    expectLikeFloat64(swiglu, [normal(shape, dtype, 1), normal(shape, dtype, 2)], dtype)
  })

  test('agrees on operands that are not contiguous', () => {
    const gate = normal([33, 5], dtype, 1).transpose(0, 1)
    const up = normal([33, 5], dtype, 2).transpose(0, 1)
    expectLikeFloat64(swiglu, [gate, up], dtype)
  })
})

test('of nothing it is nothing', () => {
  expect(swiglu(zeros([0, 4]), zeros([0, 4])).shape).toEqual([0, 4])
})

test('far from zero nothing overflows', () => {
  const gate = tensor([-1e4, -100, 100, 1e4])
  expect(swiglu(gate, gate).toArray()).toEqual([0, 0, 1e4, 1e8])
})

test('operands of different shapes are refused with both', () => {
  expect(() => swiglu(zeros([2, 3]), zeros([3, 2]))).toThrow(TorchError)
  expect(() => swiglu(zeros([2, 3]), zeros([3, 2]))).toThrow(/\[2, 3\].*\[3, 2\]/)
})
