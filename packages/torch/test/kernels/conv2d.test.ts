// hearth::conv2d with its epilogues, strides and paddings, forward and gradients, against float64.
import { describe, expect, test } from 'vitest'
import {
  backward,
  call,
  noGrad,
  numThreads,
  scope,
  setNumThreads,
  tensor,
  TorchError,
  zeros,
  type Tensor,
} from '../../src/index.js'
import {
  expectLikeFloat64,
  hearthOperator,
  KERNEL_DTYPES,
  normal,
  relativeError,
  TOLERANCE,
  type KernelDType,
} from './against-float64.js'

const conv2d = hearthOperator('conv2d')
type Size = readonly [number, number]
type Stride = Size
type Padding = readonly [top: number, bottom: number, left: number, right: number]

interface Case {
  /** (B, H, W, in) */
  image: readonly [number, number, number, number]
  out: number
  kernel: Size
  stride?: Stride
  padding?: Padding
}

const SAME: Padding = [1, 1, 1, 1]
const CASES: Case[] = [
  { image: [1, 1, 1, 1], out: 1, kernel: [1, 1] },
  { image: [1, 1, 1, 3], out: 5, kernel: [3, 3], padding: SAME },
  { image: [2, 7, 5, 3], out: 4, kernel: [3, 3], padding: SAME },
  { image: [1, 11, 13, 4], out: 37, kernel: [3, 3], padding: SAME },
  { image: [2, 8, 9, 20], out: 30, kernel: [3, 3], stride: [2, 2], padding: SAME },
  { image: [1, 9, 8, 17], out: 13, kernel: [3, 3], stride: [2, 2], padding: [0, 1, 0, 1] },
  { image: [1, 7, 6, 33], out: 29, kernel: [1, 1] },
  { image: [1, 7, 6, 5], out: 6, kernel: [1, 1], stride: [2, 3] },
  { image: [1, 13, 17, 3], out: 7, kernel: [5, 4], stride: [3, 2], padding: [2, 1, 0, 3] },
  { image: [1, 10, 10, 6], out: 8, kernel: [2, 2], stride: [5, 5] },
  { image: [1, 24, 18, 40], out: 50, kernel: [3, 3], padding: SAME },
  // These have the sizes for fewer multiplications (conv/winograd.h).
  { image: [2, 13, 17, 48], out: 32, kernel: [3, 3], padding: SAME },
  { image: [1, 30, 27, 320], out: 112, kernel: [3, 3], padding: [2, 0, 0, 1] },
  { image: [1, 64, 72, 32], out: 128, kernel: [3, 3], padding: [3, 1, 1, 1] },
  { image: [1, 8, 8, 320], out: 64, kernel: [3, 3], padding: SAME },
  { image: [1, 4, 4, 640], out: 320, kernel: [3, 3], padding: SAME },
]

const named = (cases: Case[]) => cases.map((one) => [JSON.stringify(one), one] as const)
const weightShape = ({ image, out, kernel }: Case) => [out, ...kernel, image[3]]

function operation({ stride = [1, 1], padding = [0, 0, 0, 0] }: Case, activation = 'none', upsample = false) {
  return (x: Tensor, w: Tensor, bias?: Tensor, residual?: Tensor) =>
    conv2d(x, w, bias, residual, stride, padding, upsample, activation)
}

const operands = (one: Case, dtype: KernelDType): [x: Tensor, weight: Tensor] => [
  normal(one.image, dtype, 1),
  normal(weightShape(one), dtype, 2),
]

describe.each(KERNEL_DTYPES)('conv2d in %s', (dtype) => {
  test.each(named(CASES))('of %s agrees with float64', (_, one) => {
    expectLikeFloat64(operation(one), operands(one, dtype), dtype)
    scope(() => noGrad(() => expectForward(operation(one), operands(one, dtype), dtype)))
  })

  test.each(['none', 'gelu', 'gelu_tanh', 'silu'])('with bias, activation %s and residual agrees', (activation) => {
    const one: Case = { image: [2, 6, 5, 12], out: 21, kernel: [3, 3], padding: SAME }
    const [x, w] = operands(one, dtype)
    const inputs = [x, w, normal([21], dtype, 3), normal([2, 6, 5, 21], dtype, 4)]
    const run = operation(one, activation)
    expectLikeFloat64((x, w, b, r) => run(x, w.mul(0.2), b, r), inputs, dtype)
  })

  test('with a residual alone gives it its gradient', () => {
    const one: Case = { image: [1, 4, 4, 5], out: 6, kernel: [3, 3], padding: SAME }
    const inputs = [...operands(one, dtype), normal([1, 4, 4, 6], dtype, 3)]
    expectLikeFloat64((x, w, r) => operation(one)(x, w, undefined, r), inputs, dtype)
  })

  test.each([
    [{ image: [2, 5, 7, 9], out: 11, kernel: [3, 3], padding: SAME }],
    [{ image: [1, 1, 1, 4], out: 3, kernel: [3, 3], padding: SAME }],
    [{ image: [1, 3, 2, 6], out: 5, kernel: [5, 4], padding: [2, 2, 1, 2] }],
    [{ image: [1, 12, 12, 64], out: 48, kernel: [3, 3], padding: SAME }],
  ] satisfies [Case][])('over an image made twice as large, %j, agrees', (one) => {
    expectLikeFloat64(operation(one, 'none', true), operands(one, dtype), dtype)
    scope(() => noGrad(() => expectForward(operation(one, 'silu', true), operands(one, dtype), dtype)))
  })

  test('takes operands that are not contiguous', () => {
    const x = normal([2, 5, 6, 7], dtype, 1).permute([0, 2, 3, 1]) // (B, C, H, W) in memory
    const w = normal([9, 5, 3, 3], dtype, 2).permute([0, 2, 3, 1])
    const run = operation({ image: [2, 6, 7, 5], out: 9, kernel: [3, 3], padding: SAME })
    expectLikeFloat64(run, [x, w], dtype)
    const narrowed = normal([1, 6, 20, 9], dtype, 1).narrow(2, 3, 7).narrow(3, 2, 5)
    expectLikeFloat64(run, [narrowed, w], dtype)
  })

  // The library's own gradients, which serve where our products do not, change with the number of threads.
  const ours = call('hearth::product_form', dtype) !== 'library'
  test.each(ours ? [false, true] : [false])('gives the same bits with 1 and 2 threads, gradients: %j', (gradients) => {
    const one: Case = { image: [2, 33, 31, 32], out: 48, kernel: [3, 3], padding: SAME }
    const [single, both] = [1, 2].map((threads) => bitsWith(threads, one, dtype, gradients))
    expect(both).toEqual(single)
  })
})

/** Results where no gradient is wanted, which may be computed another way. */
function expectForward(run: (x: Tensor, w: Tensor) => Tensor, [x, w]: [Tensor, Tensor], dtype: KernelDType): void {
  expect(relativeError(run(x, w), run(x.to('float64'), w.to('float64')))).toBeLessThan(TOLERANCE[dtype])
}

function bitsWith(threads: number, one: Case, dtype: KernelDType, gradients: boolean): number[][] {
  const before = numThreads()
  setNumThreads(threads)
  try {
    return scope(() => {
      const leaves = [...operands(one, dtype), normal([one.out], dtype, 3)] as const
      if (!gradients) return [noGrad(() => operation(one)(...leaves).to('float32')).toArray()]
      for (const leaf of leaves) leaf.setRequiresGrad(true)
      const y = operation(one, 'silu')(...leaves)
      backward(y, { gradient: normal(y.shape, dtype, 4) })
      return [y, ...leaves.map((leaf) => leaf.grad!)].map((result) => result.detach().to('float32').toArray())
    })
  } finally {
    setNumThreads(before)
  }
}

test('over more pixels than are summed at once the gradient of the weight agrees', () => {
  const one: Case = { image: [1, 70, 61, 3], out: 5, kernel: [3, 3], padding: SAME }
  expectLikeFloat64(operation(one), operands(one, 'float32'), 'float32')
})

test('of no images it is none, and gradients are zero', () => {
  const [x, w] = [zeros([0, 4, 4, 3]).setRequiresGrad(true), zeros([5, 3, 3, 3]).setRequiresGrad(true)]
  const y = conv2d(x, w, undefined, undefined, 1, 1)
  expect(y.shape).toEqual([0, 4, 4, 5])
  backward(y.sum())
  expect(w.grad!.abs().sum().item()).toBe(0)
})

test('what is not a number stays none, and reaches only the pixels that see it', () => {
  const x = tensor([NaN, 0, 0, 0, 0, 0], { shape: [1, 1, 6, 1] })
  const y = conv2d(x, zeros([1, 1, 3, 1]).add(1), undefined, undefined, 1, [0, 0, 1, 1])
  expect(y.toArray()).toEqual([NaN, NaN, 0, 0, 0, 0])
})

test('operands that do not fit are refused with all shapes', () => {
  expect(() => conv2d(zeros([1, 4, 4, 3]), zeros([5, 3, 3, 4]))).toThrow(TorchError)
  expect(() => conv2d(zeros([1, 4, 4, 3]), zeros([5, 3, 3, 4]))).toThrow(/\[1, 4, 4, 3\].*\[5, 3, 3, 4\]/)
  expect(() => conv2d(zeros([1, 2, 2, 3]), zeros([5, 3, 3, 3]))).toThrow(/larger than the padded image, 2 by 2/)
  expect(() => conv2d(zeros([1, 4, 4, 3]), zeros([5, 3, 3, 3]), zeros([4]))).toThrow(/out = 5.*\[4\]/)
  expect(() => conv2d(zeros([1, 4, 4, 3]), zeros([5, 1, 1, 3]), undefined, zeros([1, 4, 4, 4]))).toThrow(
    /\[1, 4, 4, 5\].*\[1, 4, 4, 4\]/,
  )
  expect(() => conv2d(zeros([1, 4, 4, 3]), zeros([5, 1, 1, 3]), undefined, undefined, 0)).toThrow(
    /strides must be positive/,
  )
  expect(() => conv2d(zeros([1, 4, 4, 3]), zeros([5, 1, 1, 3]), undefined, undefined, 2, 0, true)).toThrow(
    /with upsample/,
  )
})
