// hearth::linear with its epilogues, forward and gradients, against float64; and every form of product against it, those
// among them that this processor can only imitate.
import { describe, expect, test } from 'vitest'
import {
  backward,
  call,
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
} from './against-float64.js'

const linear = hearthOperator('linear')
const productBy = hearthOperator('product_by')

/** (rows, in, out): few rows, which take another way; smaller than a panel, edges on all sides, several blocks of every dimension. */
const SHAPES = [
  [1, 40, 130],
  [3, 77, 65],
  [5, 9, 3],
  [7, 600, 5],
  [9, 1, 1],
  [17, 5, 3],
  [8, 64, 48],
  [33, 100, 57],
  [130, 600, 220],
] as const

const byLibrary =
  ['reference', 'baseline'].includes(process.env.HEARTH_KERNELS ?? '') || process.env.HEARTH_GEMM === 'library'

describe.each(KERNEL_DTYPES)('linear in %s', (dtype) => {
  test.each(SHAPES)('of %i rows from %i to %i agrees with float64', (rows, width, out) => {
    expectLikeFloat64(linear, [normal([rows, width], dtype, 1), normal([out, width], dtype, 2)], dtype)
  })

  test.each(['none', 'gelu', 'gelu_tanh', 'silu'])('with bias, activation %s and residual agrees', (activation) => {
    const inputs = [normal([3, 7, 40], dtype, 1), normal([29, 40], dtype, 2), normal([29], dtype, 3)]
    const operation = (x: Tensor, w: Tensor, b: Tensor, r: Tensor) => linear(x, w.mul(0.2), b, r, activation)
    expectLikeFloat64(operation, [...inputs, normal([3, 7, 29], dtype, 4)], dtype)
  })

  test('with a residual alone gives it its gradient', () => {
    const inputs = [normal([20, 9], dtype, 1), normal([11, 9], dtype, 2), normal([20, 11], dtype, 3)]
    expectLikeFloat64((x, w, r) => linear(x, w, undefined, r), inputs, dtype)
  })

  test('takes few rows, and operands that are not contiguous', () => {
    const inputs = [normal([12, 3, 2], dtype, 1).transpose(0, 2), normal([12, 10], dtype, 2).transpose(0, 1)]
    expectLikeFloat64(linear, inputs, dtype)
    const strided = [
      normal([40, 50], dtype, 1).narrow(1, 3, 24),
      normal([48, 60], dtype, 2).slice({ dim: 1, step: 2 }).narrow(1, 4, 24),
    ]
    expectLikeFloat64(linear, strided, dtype)
  })

  test.skipIf(byLibrary)(
    'gives a row the bits that it has alone, and beside many those that it has beside any others',
    () => {
      const [x, w] = [normal([80, 300], dtype, 1), normal([70, 300], dtype, 2)]
      const row = (first: number, rows: number, at: number) =>
        linear(x.narrow(0, first, rows), w)
          .narrow(0, at - first, 1)
          .toArray()
      for (const rows of [2, 7, 8, 13, 32])
        for (const at of [40, 39 + rows]) expect(row(40, rows, at)).toEqual(row(at, 1, at))
      for (const rows of [34, 45, 80]) expect(row(0, rows, 32)).toEqual(row(0, 33, 32))
    },
  )

  test.each([250, 5])('gives the same bits with one thread and with two, of %i rows', (rows) => {
    const threads = numThreads()
    const run = (count: number): number[][] =>
      scope(() => {
        setNumThreads(count)
        const [x, w, b] = [normal([rows, 300], dtype, 1), normal([220, 300], dtype, 2), normal([220], dtype, 3)]
        for (const leaf of [x, w, b]) leaf.setRequiresGrad(true)
        const y = linear(x, w, b, undefined, 'gelu_tanh')
        backward(y, { gradient: normal([rows, 220], dtype, 4) })
        return [y, x.grad!, w.grad!, b.grad!].map((result) => result.detach().to('float32').toArray())
      })
    try {
      expect(run(2)).toEqual(run(1))
    } finally {
      setNumThreads(threads)
    }
  })
})

describe('every form of bfloat16 product', () => {
  const forms = ['floats', 'pairs', 'emulated']
  /** (rows, rows, depth): the last one has two blocks of depth in every form. */
  const shapes = [
    [1, 1, 1],
    [33, 31, 33],
    [64, 70, 62],
    [40, 50, 700],
  ] as const
  test.each(forms.flatMap((form) => shapes.map((shape) => [form, ...shape] as const)))(
    'by %s of %i and %i rows, %i deep, agrees with float64 in all orders of memory',
    (form, rows, columns, depth) => {
      scope(() => {
        const left = normal([rows, depth], 'bfloat16', 1)
        const right = normal([columns, depth], 'bfloat16', 2)
        const want = left.to('float64').matmul(right.to('float64').transpose(0, 1))
        for (const l of [left, columnMajor(left)])
          for (const r of [right, columnMajor(right)])
            expect(relativeError(productBy(l, r, form), want)).toBeLessThan(TOLERANCE.bfloat16)
      })
    },
  )

  test('gives exact sums of small whole numbers', () => {
    scope(() => {
      const left = normal([50, 1100], 'float32', 1).mul(2).round().to('bfloat16')
      const right = normal([45, 1100], 'float32', 2).mul(2).round().to('bfloat16')
      const want = left.to('float64').matmul(right.to('float64').transpose(0, 1)).to('bfloat16').toArray()
      for (const form of forms) expect(productBy(left, right, form).toArray(), form).toEqual(want)
    })
  })

  test('refuses names of no form', () => {
    expect(() => productBy(zeros([2, 2]), zeros([2, 2]), 'fast')).toThrow(/floats, pairs, amx, emulated.*'fast'/s)
  })
})

const columnMajor = (x: Tensor): Tensor => x.transpose(0, 1).contiguous().transpose(0, 1)

test('the gradient of a bfloat16 weight can be had in float32', () => {
  scope(() => {
    const [dy, x] = [normal([70, 20], 'bfloat16', 1), normal([70, 30], 'bfloat16', 2)]
    const got = call('hearth::linear_weight_gradient', dy, x, true) as Tensor
    expect(got.dtype).toBe('float32')
    expect(relativeError(got, dy.to('float64').transpose(0, 1).matmul(x.to('float64')))).toBeLessThan(TOLERANCE.float32)
  })
})

test('of nothing it is nothing, and of no width it is the bias', () => {
  expect(linear(zeros([0, 4]), zeros([3, 4])).shape).toEqual([0, 3])
  expect(linear(zeros([10, 4]), zeros([0, 4])).shape).toEqual([10, 0])
  expect(linear(zeros([2, 0]), zeros([3, 0]), tensor([1, 2, 3])).toArray()).toEqual([1, 2, 3, 1, 2, 3])
})

test('what is not a number stays none, and the infinite infinite', () => {
  const x = zeros([9, 3]).add(tensor([Infinity, 1, 0]))
  expect(
    linear(
      x,
      tensor([
        [1, 0, 0],
        [0, NaN, 0],
        [0, 1, 1],
      ]),
    )
      .narrow(0, 0, 1)
      .toArray(),
  ).toEqual([Infinity, NaN, NaN])
})

test('operands that do not fit are refused with all shapes', () => {
  expect(() => linear(zeros([2, 3]), zeros([5, 4]))).toThrow(TorchError)
  expect(() => linear(zeros([2, 3]), zeros([5, 4]))).toThrow(/\[2, 3\].*\[5, 4\]/)
  expect(() => linear(zeros([2, 3]), zeros([5, 3]), zeros([4]))).toThrow(/out = 5.*\[4\]/)
  expect(() => linear(zeros([2, 3]), zeros([5, 3]), undefined, zeros([2, 4]))).toThrow(/\[2, 5\].*\[2, 4\]/)
  expect(() => linear(zeros([2, 3]), zeros([5, 3]), undefined, undefined, 'relu')).toThrow(/gelu_tanh.*'relu'/)
})

test('the form of products has a name and, fed from the first cache, a rate', () => {
  expect(['floats', 'pairs', 'amx', 'emulated', 'library']).toContain(call('hearth::product_form', 'bfloat16'))
  expect(call('hearth::measure_peak', 'float32', 'floats', 0.01)).toBeGreaterThan(0.1)
  expect(() => call('hearth::product_form', 'float64')).toThrow(/float32 or bfloat16.*'float64'/)
})
