// hearth::group_norm with shift and SiLU, forward and gradients, against float64.
import { describe, expect, test } from 'vitest'
import { backward, call, numThreads, scope, setNumThreads, TorchError, zeros, type Tensor } from '../../src/index.js'
import {
  expectLikeFloat64,
  hearthOperator,
  KERNEL_DTYPES,
  normal,
  relativeError,
  TOLERANCE,
} from './against-float64.js'

const EPS = 1e-5
const groupNorm = hearthOperator('group_norm')

/** (B, ..., C), groups */
const CASES: [shape: number[], groups: number][] = [
  [[1, 1, 4], 1],
  [[2, 3, 5, 6], 3],
  [[1, 7, 11, 20], 5],
  [[3, 13, 13, 33], 11],
  [[2, 16, 8, 320], 32],
  [[1, 65, 640], 32],
]

describe.each(KERNEL_DTYPES)('group norm in %s', (dtype) => {
  const operands = (shape: number[]) => {
    const channels = shape.at(-1)!
    return [normal(shape, dtype, 1), normal([channels], dtype, 2), normal([channels], dtype, 3)]
  }

  test.each(CASES)('of shape %j in %i groups agrees with float64', (shape, groups) => {
    const [x, weight, bias] = operands(shape) as [Tensor, Tensor, Tensor]
    const shift = normal([shape[0]!, shape.at(-1)!], dtype, 4)
    for (const silu of [false, true]) {
      expectLikeFloat64((x, w, b) => groupNorm(x, undefined, w, b, groups, EPS, silu), [x, weight, bias], dtype)
      const shifted = (x: Tensor, s: Tensor, w: Tensor, b: Tensor) => groupNorm(x, s, w, b, groups, EPS, silu)
      expectLikeFloat64(shifted, [x, shift, weight, bias], dtype)
    }
  })

  test('takes images whose channels lie apart in memory', () => {
    const [, weight, bias] = operands([12])
    const x = normal([2, 12, 5, 9], dtype, 5).permute([0, 2, 3, 1]) // (B, C, H, W) in memory
    expectLikeFloat64((x, w, b) => groupNorm(x, undefined, w, b, 4, EPS, true), [x, weight!, bias!], dtype)
  })

  test('keeps its digits where the mean is far from zero', () => {
    scope(() => {
      const [weight, bias] = [normal([8], dtype, 2), normal([8], dtype, 3)]
      const x = normal([2, 200, 8], dtype, 1).add(64).to(dtype)
      const run = (type: 'float64' | typeof dtype) =>
        groupNorm(x.to(type), undefined, weight.to(type), bias.to(type), 2, EPS)
      expect(relativeError(run(dtype), run('float64'))).toBeLessThan(TOLERANCE[dtype])
    })
  })

  test('has the same bits with one thread and two', () => {
    const before = numThreads()
    const results = [1, 2].map((threads) => {
      setNumThreads(threads)
      const leaves = [...operands([2, 40, 30, 64]), normal([2, 64], dtype, 4)] as [Tensor, Tensor, Tensor, Tensor]
      leaves.forEach((leaf) => leaf.setRequiresGrad(true))
      const [x, weight, bias, shift] = leaves
      const output = groupNorm(x, shift, weight, bias, 16, EPS, true)
      backward(output, { gradient: normal(output.shape, dtype, 5) })
      return [output, ...leaves.map((leaf) => leaf.grad!)].map((tensor) => tensor.detach().to('float32').toArray())
    })
    setNumThreads(before)
    expect(results[1]).toEqual(results[0])
  })
})

test('in float64 it is the one of libtorch', () => {
  scope(() => {
    const ours = (x: Tensor, weight: Tensor, bias: Tensor) => groupNorm(x, undefined, weight, bias, 3, EPS)
    const theirs = (x: Tensor, weight: Tensor, bias: Tensor) =>
      (call('aten::group_norm', x.permute([0, 2, 1]), 3, weight, bias, EPS) as Tensor).permute([0, 2, 1])
    const [got, want] = [ours, theirs].map((norm) => {
      const leaves = [normal([2, 7, 6], 'float64', 1), normal([6], 'float64', 2), normal([6], 'float64', 3)] as const
      leaves.forEach((leaf) => leaf.setRequiresGrad(true))
      const output = norm(...leaves)
      backward(output, { gradient: normal([2, 7, 6], 'float64', 4) })
      return [output, ...leaves.map((leaf) => leaf.grad!)]
    }) as [Tensor[], Tensor[]]
    got.forEach((result, i) => expect(relativeError(result, want[i]!)).toBeLessThan(1e-12))
  })
})

test('of no images it is none', () => {
  expect(groupNorm(zeros([0, 4, 4, 8]), undefined, zeros([8]), zeros([8]), 2, EPS).shape).toEqual([0, 4, 4, 8])
})

test('operands that do not fit are refused', () => {
  const norm = (x: Tensor, shift: Tensor | undefined, channels: number, groups: number) => () =>
    groupNorm(x, shift, zeros([channels]), zeros([channels]), groups, EPS)
  expect(norm(zeros([2, 4, 6]), undefined, 5, 1)).toThrow(TorchError)
  expect(norm(zeros([2, 4, 6]), undefined, 5, 1)).toThrow(/\[2, 4, 6\].*\[5\]/)
  expect(norm(zeros([2, 4, 6]), undefined, 6, 4)).toThrow(/6 channels.*4 groups/)
  expect(norm(zeros([2, 4, 6]), zeros([1, 6]), 6, 2)).toThrow(/shift.*\[1, 6\].*\[2, 4, 6\]/)
  const statistics = zeros([2, 3, 2])
  const [x, w] = [zeros([2, 4, 6]), zeros([6])]
  expect(() => call('hearth::group_norm_backward', x, statistics, x, undefined, w, w, 2, EPS, false)).toThrow(
    /statistics/,
  )
})
