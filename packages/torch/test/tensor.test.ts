// Making tensors, looking at them, and seeing the same memory in several ways.
import { inspect } from 'node:util'
import {
  arange,
  arrayOf,
  dtypeBytes,
  dtypes,
  empty,
  eye,
  full,
  isFloating,
  linspace,
  ones,
  Tensor,
  tensor,
  zeros,
  type DType,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'

const integers = dtypes.filter((dtype) => !isFloating(dtype) && dtype !== 'bool')

describe('tensor()', () => {
  test.each([
    [5, [], 'float32'],
    [[1, 2, 3], [3], 'float32'],
    [
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
      [2, 3],
      'float32',
    ],
    [[[], []], [2, 0], 'float32'],
    [[], [0], 'float32'],
    [Float64Array.of(1, 2), [2], 'float64'],
    [Int32Array.of(1, 2), [2], 'int32'],
    [BigInt64Array.of(1n, 2n), [2], 'int64'],
    [Uint8Array.of(1, 2), [2], 'uint8'],
  ])('of %s has shape %s and dtype %s', (values, shape, dtype) => {
    const x = tensor(values)
    expect([x.shape, x.dtype, x.device, x.numel]).toEqual([shape, dtype, 'cpu', shape.reduce((a, b) => a * b, 1)])
    if (!ArrayBuffer.isView(values)) expect(x.toNested()).toEqual(values)
    else expect(x.data()).toEqual(values)
  })

  test('copies: what happens to the values later does not matter', () => {
    const values = Float32Array.of(1, 2)
    const x = tensor(values)
    values[0] = 9
    expect(x.toArray()).toEqual([1, 2])
  })

  test('takes a part of an array, at any offset', () => {
    expect(tensor(new Float32Array(Float32Array.of(1, 2, 3, 4).buffer, 8, 2)).toArray()).toEqual([3, 4])
    expect(tensor(Uint8Array.of(1, 2, 3).subarray(1)).toArray()).toEqual([2, 3])
  })

  test.each(dtypes)('round trips values of %s through arrays and typed arrays', (dtype) => {
    const values = dtype === 'bool' ? [0, 1, 1, 0] : isFloating(dtype) ? [0, 1, -2.5, 96] : [0, 1, 2, 100]
    const x = tensor(values, { dtype })
    expect([x.dtype, x.toArray(), x.nbytes]).toEqual([dtype, values, 4 * dtypeBytes(dtype)])
    expect(x.data()).toBeInstanceOf(arrayOf(dtype))
    expect(tensor(x.data(), { dtype }).toArray()).toEqual(values)
  })

  test.each(integers)('holds the limits of %s', (dtype) => {
    const bits = 8 * dtypeBytes(dtype)
    const limits =
      dtype === 'uint8' ? [0, 255] : bits === 64 ? [-(2 ** 63), 2 ** 53] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    expect(tensor(limits, { dtype }).toArray()).toEqual(limits)
  })

  test('rounds to 16-bit floats as libtorch does, and takes Uint16Array as their bits', () => {
    expect(tensor([1 + 2 ** -9, 3.14159], { dtype: 'bfloat16' }).toArray()).toEqual([1, 3.140625])
    expect(tensor(Uint16Array.of(0x3f80, 0xc000), { dtype: 'bfloat16' }).toArray()).toEqual([1, -2])
    expect(tensor(Uint16Array.of(0x3c00, 0xc000), { dtype: 'float16' }).toArray()).toEqual([1, -2])
  })

  test('makes booleans of bytes, whatever they are', () => {
    expect([...(tensor(Uint8Array.of(0, 1, 7, 255), { dtype: 'bool' }).data() as Uint8Array)]).toEqual([0, 1, 1, 1])
  })

  test('holds int64 exactly in data()', () => {
    const big = 2n ** 62n + 1n
    expect(tensor(BigInt64Array.of(big)).add(1).data()).toEqual(BigInt64Array.of(big + 1n))
  })
})

describe('creation', () => {
  test('fills as it says', () => {
    expect(zeros([2, 2]).toArray()).toEqual([0, 0, 0, 0])
    expect(ones([2], { dtype: 'int32' }).toArray()).toEqual([1, 1])
    expect(full([2], 2.5).toArray()).toEqual([2.5, 2.5])
    expect(full([1], 3, { dtype: 'int64' }).dtype).toBe('int64')
    expect(eye(2).toNested()).toEqual([
      [1, 0],
      [0, 1],
    ])
    expect(arange(3).toArray()).toEqual([0, 1, 2])
    expect(arange(1, 2, { step: 0.25, dtype: 'float32' }).toArray()).toEqual([1, 1.25, 1.5, 1.75])
    expect(linspace(0, 1, 3).toArray()).toEqual([0, 0.5, 1])
    expect(empty([3, 0, 2]).shape).toEqual([3, 0, 2])
    expect(zeros([]).item()).toBe(0)
  })

  test.each<DType>(['float32', 'float64', 'bfloat16', 'int64', 'bool'])('takes dtype %s', (dtype) => {
    expect(zeros([1], { dtype }).dtype).toBe(dtype)
    expect(full([1], 1, { dtype }).dtype).toBe(dtype)
  })
})

describe('to()', () => {
  test('gives the same memory when nothing changes', () => {
    const x = zeros([2])
    x.to('float32').add_(1)
    x.to({ device: 'cpu' }).add_(1)
    expect(x.toArray()).toEqual([2, 2])
  })

  test.each(dtypes)('converts to %s and back', (dtype) => {
    expect(tensor([0, 1, 1]).to(dtype).to('float32').toArray()).toEqual([0, 1, 1])
  })
})

describe('a view', () => {
  const x = () => arange(0, 24).view([2, 3, 4])

  test('shares memory', () => {
    const base = x()
    base.select(0, 1).transpose(0, 1).narrow(0, 1, 1).fill_(-1)
    expect(base.toArray().filter((value) => value === -1)).toHaveLength(3)
  })

  test('has the elements that indices give', () => {
    expect(x().permute([2, 0, 1]).shape).toEqual([4, 2, 3])
    expect(x().permute([2, 0, 1]).toArray().slice(0, 4)).toEqual([0, 4, 8, 12])
    expect(x().slice({ dim: 2, start: 1, step: 2 }).toArray().slice(0, 4)).toEqual([1, 3, 5, 7])
    expect(x().flatten({ startDim: 1 }).shape).toEqual([2, 12])
    expect(x().unsqueeze(1).squeeze(1).shape).toEqual([2, 3, 4])
    expect(tensor([1, 2]).expand([3, 2]).toNested()).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ])
    expect(
      x()
        .split(2, { dim: 2 })
        .map((part) => part.shape),
    ).toEqual([
      [2, 3, 2],
      [2, 3, 2],
    ])
    expect(
      x()
        .chunk(2)
        .map((part) => part.shape),
    ).toEqual([
      [1, 3, 4],
      [1, 3, 4],
    ])
    expect(x().unbind({ dim: 1 })).toHaveLength(3)
  })

  test('knows whether it is contiguous', () => {
    expect([x().isContiguous, x().transpose(0, 1).isContiguous, x().select(0, 1).isContiguous]).toEqual([
      true,
      false,
      true,
    ])
    expect(x().transpose(0, 1).contiguous().isContiguous).toBe(true)
    expect(x().select(0, 1).data()).toEqual(BigInt64Array.from({ length: 12 }, (_, i) => BigInt(i + 12)))
  })

  test('reads right when it is not contiguous', () => {
    expect(
      tensor([
        [1, 2, 3],
        [4, 5, 6],
      ])
        .transpose(0, 1)
        .toNested(),
    ).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ])
  })
})

describe('a Tensor', () => {
  test('shows itself', () => {
    expect(String(ones([2, 3]))).toBe('Tensor(float32[2, 3], cpu)')
    expect(inspect(tensor([[1, 2]]))).toBe('Tensor(float32[1, 2], cpu) [[1,2]]')
    expect(inspect(zeros([100]))).toBe('Tensor(float32[100], cpu)')
  })

  test('has the operators as methods', () => {
    expect(ones([2])).toBeInstanceOf(Tensor)
    expect(
      ones([2])
        .add(1)
        .mul(3)
        .sub(ones([2]))
        .toArray(),
    ).toEqual([5, 5])
  })

  test('gives its one element as a number, of any dtype', () => {
    expect(dtypes.map((dtype) => ones([1, 1], { dtype }).item())).toEqual(dtypes.map(() => 1))
  })
})
