// hearth::quantise_base against published numbers of NF4, and hearth::linear_base with its gradients against float64.
import { afterEach, describe, expect, test } from 'vitest'
import { backward, call, noGrad, scope, setNumThreads, tensor, type Tensor } from '../../src/index.js'
import { expectLikeFloat64, KERNEL_DTYPES, normal, relativeError } from './against-float64.js'

type Codes = [codes: Tensor, scales: Tensor, nested: Tensor]

const FORMATS = ['nf4', 'int8'] as const
const quantise = (weight: Tensor, format: string) => call('hearth::quantise_base', weight, format) as Codes
const dequantise = (codes: Codes, outputs: number, inputs: number, dtype = 'float32') =>
  call('hearth::dequantise_base', ...codes, outputs, inputs, dtype) as Tensor
const product = (x: Tensor, codes: Codes, outputs: number, bias?: Tensor, residual?: Tensor) =>
  call('hearth::linear_base', x, ...codes, outputs, bias, residual) as Tensor

afterEach(() => setNumThreads(1))

/** As the QLoRA paper prints them (appendix E), and bitsandbytes. */
const NF4 = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]

test('NF4 has the sixteen published values, two a byte, the first in the upper half', () => {
  const block = Array.from({ length: 64 }, (_, i) => NF4[i % 16]!)
  const codes = quantise(tensor([block]), 'nf4')
  expect(codes[0].toArray()).toEqual(
    Array.from({ length: 32 }, (_, i) => [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][i % 8]),
  )
  // One block: its scale is the mean of all, and nothing is left to quantise.
  expect(codes[1].toArray()).toEqual([127])
  expect(codes[2].toArray()).toEqual([1, 0])
  expect(dequantise(codes, 1, 64).toArray()).toEqual(block.map(Math.fround))
})

test('a block becomes the codes that a person works out', () => {
  // By hand: over the largest magnitude 2 these are 1, -1, 0.5, -0.45, 0.01, 0.05, -0.8, 0.3; the middles between neighbours
  // that decide are 0.5017, -0.46, 0.0398, -0.8481 and 0.2920.
  const values = [2, -2, 1, -0.9, 0.02, 0.1, -1.6, 0.6]
  const codes = quantise(tensor([[...values, ...Array<number>(56).fill(0)]]), 'nf4')
  expect(codes[0].toArray().slice(0, 5)).toEqual([0xf0, 0xc3, 0x78, 0x1b, 0x77])
  const decoded = dequantise(codes, 1, 64).toArray().slice(0, 8)
  expect(decoded).toEqual([15, 0, 12, 3, 7, 8, 1, 11].map((code) => Math.fround(2 * Math.fround(NF4[code]!))))
})

test('scales are quantised again: as shares of the largest distance from their mean, which -1 lacks and 1 has', () => {
  // Scales 1 and 3: mean 2, distances -1 and 1; the least value of the dynamic map is -0.99296875, the largest 1.
  const [first, second] = [1, 3].map((scale) => [scale, ...Array<number>(63).fill(0)])
  const codes = quantise(tensor([[...first!, ...second!]]), 'nf4')
  expect(codes[1].toArray()).toEqual([0, 255])
  expect(codes[2].toArray()).toEqual([2, 1])
  const decoded = dequantise(codes, 1, 128).toArray()
  expect(decoded[0]).toBeCloseTo(1.00703125, 6)
  expect([decoded[64], decoded[65]]).toEqual([3, 0])
})

test.each(FORMATS)('%s keeps weights near, and its codes are the same with one thread or two', (format) => {
  noGrad(() => {
    const weight = normal([130, 70], 'bfloat16', 1)
    const codes = quantise(weight, format)
    setNumThreads(2)
    const again = quantise(weight, format)
    for (const [i, part] of codes.entries()) expect(again[i]!.toArray()).toEqual(part.toArray())
    const error = dequantise(codes, 130, 70).sub(weight.to('float32')).square().mean().sqrt().item()
    expect(error).toBeLessThan(format === 'nf4' ? 0.1 : 0.007)
    expect(error).toBeGreaterThan(format === 'nf4' ? 0.05 : 0.003)
  })
})

const SHAPES = [
  [1, 64, 16],
  [3, 65, 17],
  [5, 7, 3],
  [40, 320, 100],
  [70, 129, 250],
  [9, 1100, 70],
] as const

describe.each(KERNEL_DTYPES)('products of %s with codes', (dtype) => {
  test.each(FORMATS)(
    'of %s are those of float64 with what the codes stand for, and so are their gradients',
    (format) => {
      for (const [rows, inputs, outputs] of SHAPES)
        scope(() => {
          const codes = quantise(normal([outputs, inputs], 'float32', 2), format)
          const operands = [
            normal([rows, inputs], dtype, 1),
            normal([outputs], dtype, 3),
            normal([rows, outputs], dtype, 4),
          ]
          expectLikeFloat64((x, bias, residual) => product(x, codes, outputs, bias, residual), operands, dtype)
          expectLikeFloat64((x) => product(x, codes, outputs), operands.slice(0, 1), dtype)
        })
    },
  )

  test('have the same bits with one thread or two, also on the way back', () => {
    const codes = quantise(normal([330, 192], 'float32', 2), 'nf4')
    const run = () =>
      scope(() => {
        const x = normal([2, 35, 192], dtype, 1).setRequiresGrad(true)
        const y = product(x, codes, 330)
        backward(y, { gradient: normal([2, 35, 330], dtype, 5) })
        return [y, x.grad!].map((each) => each.toArray())
      })
    const one = run()
    setNumThreads(2)
    expect(run()).toEqual(one)
  })
})

test('decoding has the bits of its form made of ATen', () => {
  for (const format of FORMATS) {
    const codes = quantise(normal([65, 33], 'float32', 7), format)
    // The reference form of the product multiplies by the weight that ATen decodes: of a unit matrix that is the weight.
    const unit = call('aten::eye', 33) as Tensor
    const whole = product(unit.to('float64'), codes, 65).t()
    expect(dequantise(codes, 65, 33, 'float64').toArray()).toEqual(whole.contiguous().toArray())
    expect(relativeError(product(unit, codes, 65).t(), whole)).toBe(0)
  }
})

test('what does not fit is refused with all shapes', () => {
  const codes = quantise(normal([16, 64], 'float32', 1), 'nf4')
  expect(() => product(normal([2, 63], 'float32', 1), codes, 16)).toThrow(/16 outputs and 63 inputs is 504 uint8/)
  expect(() => quantise(normal([64], 'float32', 1), 'nf4')).toThrow(/\(outputs, inputs\) of floats/)
  expect(() => quantise(normal([2, 64], 'float32', 1), 'nf3')).toThrow(/nf4 or int8, got 'nf3'/)
})
