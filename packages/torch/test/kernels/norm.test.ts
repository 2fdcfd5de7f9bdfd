// hearth::rms_norm and hearth::layer_norm with and without a residual, forward and gradients, against float64.
import { describe, expect, test } from 'vitest'
import {
  backward,
  call,
  layerNorm,
  numThreads,
  scope,
  setNumThreads,
  TorchError,
  zeros,
  type Tensor,
} from '../../src/index.js'
import { expectLikeFloat64, KERNEL_DTYPES, normal, relativeError } from './against-float64.js'

const EPS = 1e-5
type Results = [sum: Tensor | undefined, normed: Tensor]
const rms = (x: Tensor, residual: Tensor | undefined, weight: Tensor) =>
  call('hearth::rms_norm', x, residual, weight, EPS) as Results
const layer = (x: Tensor, residual: Tensor | undefined, weight: Tensor, bias: Tensor) =>
  call('hearth::layer_norm', x, residual, weight, bias, EPS) as Results

/** Both results in one, weighted so that their gradients differ. */
const together = ([sum, normed]: Results): Tensor => normed.add(sum!.mul(0.5))

const SHAPES = [
  [1, 3],
  [3, 7],
  [5, 33],
  [2, 65, 40],
  [130, 320],
]

describe.each(KERNEL_DTYPES)('norms in %s', (dtype) => {
  test.each(SHAPES.map((shape) => [shape]))('of shape %j agree with float64', (shape) => {
    const width = shape.at(-1)!
    const [x, residual] = [normal(shape, dtype, 1), normal(shape, dtype, 2)]
    const [weight, bias] = [normal([width], dtype, 3), normal([width], dtype, 4)]
    expectLikeFloat64((x, w) => rms(x, undefined, w)[1], [x, weight], dtype)
    expectLikeFloat64((x, r, w) => together(rms(x, r, w)), [x, residual, weight], dtype)
    expectLikeFloat64((x, w, b) => layer(x, undefined, w, b)[1], [x, weight, bias], dtype)
    expectLikeFloat64((x, r, w, b) => together(layer(x, r, w, b)), [x, residual, weight, bias], dtype)
  })

  test('agree on operands that are not contiguous', () => {
    const [x, residual] = [normal([33, 70], dtype, 1).transpose(0, 1), normal([33, 70], dtype, 2).transpose(0, 1)]
    expectLikeFloat64((x, r, w) => together(rms(x, r, w)), [x, residual, normal([33], dtype, 3)], dtype)
  })

  test('give the sum alone its gradient where the norm is not used', () => {
    const [x, residual] = [normal([3, 8], dtype, 1), normal([3, 8], dtype, 2)]
    expectLikeFloat64((x, r) => rms(x, r, normal([8], x.dtype, 3))[0]!, [x, residual], dtype)
  })

  test('have the same bits with one thread and two', () => {
    const before = numThreads()
    const results = [1, 2].map((threads) => {
      setNumThreads(threads)
      const operands = [normal([700, 65], dtype, 1), normal([700, 65], dtype, 2)]
      const weights = [normal([65], dtype, 3), normal([65], dtype, 4)]
      const leaves = [...operands, ...weights].map((leaf) => leaf.setRequiresGrad(true)) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ]
      const output = together(layer(...leaves))
      backward(output, { gradient: normal([700, 65], dtype, 5) })
      return [output, ...leaves.map((leaf) => leaf.grad!)].map((tensor) => tensor.toArray())
    })
    setNumThreads(before)
    expect(results[1]).toEqual(results[0])
  })
})

test('in float64 layer norm is the one of libtorch', () => {
  scope(() => {
    const [ours, theirs] = [
      (x: Tensor, weight: Tensor, bias: Tensor) => layer(x, undefined, weight, bias)[1],
      (x: Tensor, weight: Tensor, bias: Tensor) => layerNorm(x, [9], { weight, bias, eps: EPS }),
    ].map((norm) => {
      const leaves = [normal([5, 9], 'float64', 1), normal([9], 'float64', 2), normal([9], 'float64', 3)] as const
      leaves.forEach((leaf) => leaf.setRequiresGrad(true))
      const output = norm(...leaves)
      backward(output, { gradient: normal([5, 9], 'float64', 4) })
      return [output, ...leaves.map((leaf) => leaf.grad!)]
    }) as [Tensor[], Tensor[]]
    ours.forEach((got, i) => expect(relativeError(got, theirs[i]!)).toBeLessThan(1e-12))
  })
})

test('of no rows they are nothing', () => {
  expect(rms(zeros([0, 4]), undefined, zeros([4]))[1].shape).toEqual([0, 4])
})

test('without a residual there is no sum', () => {
  expect(rms(zeros([2, 4]), undefined, zeros([4]))[0]).toBeUndefined()
})

test('operands that do not fit are refused', () => {
  expect(() => rms(zeros([2, 3]), undefined, zeros([4]))).toThrow(/\[2, 3\] and \[4\]/)
  expect(() => rms(zeros([2, 3]), zeros([3, 2]), zeros([3]))).toThrow(/residual/)
  expect(() => layer(zeros([2, 3]), undefined, zeros([3]), zeros([2]))).toThrow(TorchError)
  const statistics = zeros([2, 2]).to('int8')
  expect(() =>
    call('hearth::norm_backward', undefined, zeros([2, 3]), zeros([2, 3]), zeros([3]), statistics, false, false),
  ).toThrow(/statistics/)
})
