// hearth::linear_integer against float64: the products of what the integers of x and of the weight stand for.
import { describe, expect, test } from 'vitest'
import { call, noGrad, scope, setNumThreads, tensor, type Tensor } from '../../src/index.js'
import { KERNEL_DTYPES, normal, relativeError, TOLERANCE } from './against-float64.js'

const quantise = (weight: Tensor, bits: number) => call('hearth::quantise_weight', weight, bits) as [Tensor, Tensor]

interface Operands {
  x: Tensor
  packed: Tensor
  scales: Tensor
  outputs: number
  bias?: Tensor
  residual?: Tensor
}

const integerLinear = ({ x, packed, scales, outputs, bias, residual }: Operands, activation = 'none') =>
  call('hearth::linear_integer', x, packed, scales, outputs, bias, residual, activation) as Tensor

function dequantised({ packed, scales, outputs, x }: Operands): Tensor {
  return call('hearth::dequantise_weight', packed, scales, outputs, x.shape.at(-1), 'float64') as Tensor
}

/** The same in float64, of the numbers that the integers stand for. */
function oracle(operands: Operands, activation = 'none'): Tensor {
  const { x, outputs, bias, residual } = operands
  const rows = x.view([-1, x.shape.at(-1)!]) // (..., inputs) → (rows, inputs)
  const kept = call('hearth::integer_rows', rows) as Tensor
  const wide = (tensor: Tensor | undefined) => tensor?.to('float64')
  const added = wide(residual)?.view([-1, outputs]) // (..., outputs) → (rows, outputs)
  return call('hearth::linear', wide(kept), dequantised(operands), wide(bias), added, activation) as Tensor
}

const SHAPES = [
  [1, 64, 16],
  [3, 65, 17],
  [1, 1, 1],
  [5, 320, 100],
  [70, 200, 33],
  [2, 2048, 48],
] as const

describe.each(KERNEL_DTYPES)('integer products of %s', (dtype) => {
  test.each([8, 4])('with %i bits they are those of float64, with odd shapes too', (bits) => {
    for (const [rows, inputs, outputs] of SHAPES)
      scope(() =>
        noGrad(() => {
          const [packed, scales] = quantise(normal([outputs, inputs], 'float32', 2), bits)
          const operands = { x: normal([rows, inputs], dtype, 1), packed, scales, outputs }
          const error = relativeError(integerLinear(operands), oracle(operands))
          expect(error, `${rows} x ${inputs} → ${outputs}`).toBeLessThan(TOLERANCE[dtype])
        }),
      )
  })

  test('bias, activation and residual are applied to the sums', () => {
    noGrad(() => {
      const [outputs, inputs] = [50, 130]
      const [packed, scales] = quantise(normal([outputs, inputs], dtype, 2), 8)
      const x = normal([2, 3, inputs], dtype, 1)
      const [bias, residual] = [normal([outputs], dtype, 3), normal([2, 3, outputs], dtype, 4)]
      const operands = { x, packed, scales, outputs, bias, residual }
      const got = integerLinear(operands, 'gelu')
      expect(got.shape).toEqual([2, 3, outputs])
      expect(relativeError(got.view([6, outputs]), oracle(operands, 'gelu'))).toBeLessThan(TOLERANCE[dtype])
    })
  })

  test.each([8, 4])('with %i bits a row has the same bits alone, among others, and with one thread or two', (bits) => {
    noGrad(() => {
      const [outputs, inputs, rows] = [330, 192, 67]
      const [packed, scales] = quantise(normal([outputs, inputs], 'float32', 2), bits)
      const x = normal([rows, inputs], dtype, 1)
      setNumThreads(1)
      const all = integerLinear({ x, packed, scales, outputs }).toArray()
      setNumThreads(2)
      expect(integerLinear({ x, packed, scales, outputs }).toArray()).toEqual(all)
      setNumThreads(1)
      for (const row of [0, 3, 66]) {
        const alone = integerLinear({ x: x.narrow(0, row, 1), packed, scales, outputs })
        expect(alone.toArray()).toEqual(all.slice(row * outputs, (row + 1) * outputs))
      }
    })
  })
})

describe('quantised weights', () => {
  test.each([
    [8, 0.006],
    [4, 0.1],
  ])('of %i bits differ from normal ones by at most %f of their size', (bits, most) => {
    const weight = normal([64, 512], 'float32', 5)
    const [packed, scales] = quantise(weight, bits)
    const back = call('hearth::dequantise_weight', packed, scales, 64, 512, 'float32') as Tensor
    const size = (x: Tensor) => Math.sqrt(x.mul(x).sum().item())
    expect(size(back.sub(weight)) / size(weight)).toBeLessThan(most)
    expect(packed.nbytes + scales.nbytes).toBe(64 * 512 * (bits / 8) + (64 * 512) / 32)
  })

  test('what is a multiple of its unit comes back as it was, zeros too', () => {
    const values = Array.from({ length: 128 }, (_, i) => (i < 64 ? (i % 16) - 8 : 0))
    const weight = tensor(values, { dtype: 'float32', shape: [2, 64] })
    for (const bits of [8, 4]) {
      const [packed, scales] = quantise(weight.mul(bits === 8 ? 127 / 8 : 1), bits)
      const back = call('hearth::dequantise_weight', packed, scales, 2, 64, 'float32') as Tensor
      const unit = bits === 8 ? 127 / 8 : 1
      expect(back.div(unit).sub(weight).abs().max().item()).toBeLessThan(bits === 8 ? 0.04 : 1e-6)
      expect(back.toArray().slice(64)).toEqual(values.slice(64))
    }
  })

  test('a packed weight of another shape is refused with both shapes', () => {
    const [packed, scales] = quantise(normal([32, 64], 'float32', 1), 8)
    const x = normal([1, 128], 'float32', 1)
    expect(() => integerLinear({ x, packed, scales, outputs: 32 })).toThrow(/32 outputs and 128 inputs/)
    expect(() => quantise(normal([32, 64], 'float32', 1), 5)).toThrow(/8 or 4, got 5/)
  })
})
