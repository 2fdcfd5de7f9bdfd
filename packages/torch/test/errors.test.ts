// Errors: one class from libtorch, with the operator, what it was given, and a first line that a person can act on.
import {
  add,
  arange,
  call,
  cat,
  DisposedError,
  empty,
  full,
  HearthError,
  matmul,
  mmOut,
  ones,
  Tensor,
  tensor,
  TorchError,
  zeros,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'

function errorOf(run: () => unknown): TorchError {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(TorchError)
    return error as TorchError
  }
  throw new Error('nothing was thrown')
}
/** Calls as they come from code without types. */
const loose = (value: unknown) => value as never

describe('an error of libtorch', () => {
  test('names the operator, and shapes and dtypes of all its tensors', () => {
    const error = errorOf(() => ones([2, 3]).matmul(ones([4, 5])))
    expect(error.operator).toBe('aten::matmul')
    expect(error.message).toBe(
      'aten::matmul: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\n  arguments: self: float32[2, 3], other: float32[4, 5]',
    )
    expect(error).toBeInstanceOf(HearthError)
    expect(error.name).toBe('TorchError')
  })

  test('names the tensors of a list', () => {
    expect(errorOf(() => cat([ones([2, 3]), ones([4], { dtype: 'int64' })])).message).toMatch(
      /arguments: tensors: \[float32\[2, 3\], int64\[4\]\]$/,
    )
  })

  test('spells dtypes as they are spelled here', () => {
    const { message } = errorOf(() => ones([2, 3]).matmul(ones([3, 5], { dtype: 'int64' })))
    // 1.13: expected scalar type float32 but found int64; 2.x: to have the same dtype, but got: float32 != int64
    expect(message).toMatch(/^aten::matmul: expected .*float32 (but found|!=) int64\n/)
    expect(errorOf(() => ones([2], { dtype: 'bool' }).neg()).message).toContain('bool')
    expect(errorOf(() => ones([2]).bitwiseAnd(1)).message).not.toMatch(/\bFloat\b/)
  })

  test('has no C++ in it', () => {
    for (const run of [
      () => ones([2]).view([3]),
      () => zeros([-1]),
      () => ones([2], { device: 'cuda' }),
      () => ones([3]).select(0, 7),
    ])
      expect(errorOf(run).message).not.toMatch(/Exception raised|frame #|\.cpp|\.h:/)
  })

  test.each([
    ['a device that this libtorch lacks', () => ones([2], { device: 'cuda:3' }), /does not run on CUDA/, /LIBTORCH/],
    ['a device that does not exist', () => ones([2], { device: loose('gpu') }), /unknown device "gpu"/, /cpu, cuda/],
    ['memory that is not there', () => ones([1e13]), /cannot allocate/, /work in parts/],
    [
      'an operator that does not exist',
      () => call('aten::no_such'),
      /has no operator aten::no_such/,
      /supported libtorch/,
    ],
  ])('for %s says what to do', (_, run, message, remedy) => {
    const error = errorOf(run)
    expect(error.message.split('\n')[0]).toMatch(message)
    expect(error.remedy).toMatch(remedy)
  })
})

describe('an argument of the wrong kind', () => {
  const x = ones([2, 2])
  test.each<[string, () => unknown, RegExp]>([
    ['undefined for a tensor', () => matmul(loose(undefined), x), /argument 'self' must be a Tensor, got undefined/],
    ['null for a tensor', () => x.matmul(loose(null)), /argument 'other' must be a Tensor, got undefined/],
    ['an object for a tensor', () => x.matmul(loose({})), /argument 'other' must be a Tensor/],
    ['a string for a tensor', () => x.matmul(loose('x')), /argument 'other' must be a Tensor/],
    ['a string for a number', () => add(x, loose('1')), /argument 'other' must be a number, got a string/],
    ['a tensor for a list', () => cat(loose(x)), /argument 'tensors' must be an array of tensors, got an object/],
    ['a number in a list of tensors', () => cat([x, loose(1)]), /argument 'tensors' must be a Tensor, got undefined/],
    ['a fraction for an integer', () => x.select(0, 0.5), /argument 'index' must be an integer within .* got 0\.5/],
    ['NaN for an integer', () => x.select(0, NaN), /argument 'index' must be an integer .* got nan/],
    ['2^53 for an integer', () => x.select(0, 2 ** 53), /must be an integer within ±\(2\^53 - 1\)/],
    ['a number for a shape', () => x.view(loose('4')), /argument 'size' must be an array of integers, got a string/],
    ['a string in a shape', () => x.view([loose('4')]), /argument 'size' must be a number, got a string/],
    [
      'a number for a flag',
      () => x.sum(0, { keepdim: loose(1) }),
      /argument 'keepdim' must be a boolean, got a number/,
    ],
    ['an unknown dtype', () => zeros([1], { dtype: loose('float') }), /unknown dtype "float"; known are uint8/],
    ['an unknown dtype for values', () => tensor([1], { dtype: loose('toString') }), /unknown dtype "toString"/],
    ['a number for a dtype', () => x.to({ dtype: loose(6) }), /unknown dtype number/],
    ['too many arguments', () => call('aten::neg', x, 1, 2), /takes at most 1 arguments, got 3/],
    ['too few arguments', () => call('aten::matmul', x), /argument 'other' is required/],
  ])('%s is a TorchError that names it', (_, run, message) => {
    expect(errorOf(run).message).toMatch(message)
  })

  test('does not disturb a call that is under way', () => {
    const shape = [1, 1]
    Object.defineProperty(shape, 0, { get: () => ones([3]).sum().item() + 1 })
    expect(x.view(shape).shape).toEqual([4, 1])
    Object.defineProperty(shape, 1, {
      get: () => {
        throw new RangeError('from the getter')
      },
    })
    expect(() => x.view(shape)).toThrow(/from the getter/)
    expect(() => x.view(new Proxy([4], {}))).toThrow(/must be an array of integers/)
    expect(x.add(1).toArray()).toEqual([2, 2, 2, 2])
  })

  test('is found before anything is changed', () => {
    const y = arange(0, 4).to('float32')
    expect(() => y.add_(loose('1'))).toThrow(TorchError)
    expect(() => y.add_(ones([3]))).toThrow(TorchError)
    expect(y.toArray()).toEqual([0, 1, 2, 3])
  })
})

describe('values that do not make a tensor', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['ragged arrays', () => tensor([[1, 2], [3]]), /element \[1\] must be an array of 2, got an array of 1/],
    ['a string among numbers', () => tensor([[1, loose('2')]]), /element \[0\]\[1\] must be a number, got string/],
    ['nothing', () => tensor(loose(undefined)), /the values must be a number, got undefined/],
    [
      'an array within itself',
      () => {
        const a: unknown[] = []
        a.push(a)
        return tensor(loose(a))
      },
      /nested more than 64 deep/,
    ],
    ['a shape that does not fit', () => tensor([1, 2, 3], { shape: [2, 2] }), /3 values do not fill shape \[2, 2\]/],
    [
      'a typed array and a shape that does not fit',
      () => tensor(new Float32Array(6), { shape: [4] }),
      /has 6 elements, its shape needs 4/,
    ],
    [
      'a typed array and an immense shape',
      () => tensor(new Float32Array(6), { shape: [2 ** 40, 2 ** 40] }),
      /negative or overflows/,
    ],
    [
      'a typed array and a negative shape',
      () => tensor(new Float32Array(6), { shape: [-2, -3] }),
      /negative or overflows/,
    ],
    [
      'a kind of typed array that no dtype has',
      () => tensor(loose(new Uint32Array(2))),
      /does not hold elements of dtype float32/,
    ],
    ['NaN for an integer', () => tensor([NaN], { dtype: 'int64' }), /NaN does not fit in int64/],
    ['300 for a byte', () => tensor([300], { dtype: 'uint8' }), /300 does not fit in uint8/],
    ['2^70 for an int64', () => tensor([2 ** 70], { dtype: 'int64' }), /does not fit in int64/],
    ['a text for full()', () => full([2], loose('x')), /must be a number, got a string/],
  ])('%s', (_, run, message) => {
    expect(errorOf(run).message).toMatch(message)
  })
})

describe('a tensor that cannot do what is asked', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['item() of many', () => ones([2]).item(), /2 elements cannot be converted/],
    [
      'data() of a view with gaps',
      () => ones([2, 3]).transpose(0, 1).data(),
      /needs a contiguous tensor; call \.contiguous\(\) first/,
    ],
    // Never touched, so it takes no memory; where there is not even room for that, it says so.
    [
      'data() beyond the longest array',
      () => empty([2 ** 32], { dtype: 'uint8' }).data(),
      /at most 2\^32 - 1 elements, got 4294967296; take it in parts|cannot allocate/,
    ],
    ['JSON', () => JSON.stringify(ones([2])), /cannot be written as JSON/],
  ])('%s', (_, run, message) => {
    expect(errorOf(run).message).toMatch(message)
  })

  test('is told apart from one that was disposed', () => {
    const x = ones([2])
    x.dispose()
    expect(() => x.matmul(ones([2]))).toThrow(DisposedError)
    expect(() => ones([2]).matmul(x)).toThrow(/aten::matmul: tensor 'other' was disposed/)
    expect(() => cat([ones([2]), x])).toThrow(/tensor 'tensors' was disposed/)
    expect(String(x)).toBe('Tensor(disposed)')
    expect(x).toBeInstanceOf(Tensor)
  })
})

describe('a warning of libtorch', () => {
  test('is said in the way of Node, once for each kind', async () => {
    const said: Error[] = []
    const listen = (warning: Error) => said.push(warning)
    process.on('warning', listen)
    for (const size of [2, 3, 4]) mmOut(ones([2, 2]), ones([2, 2]), zeros([size]))
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listen)
    expect(said.map(({ name }) => name)).toEqual(['TorchWarning'])
    expect(said[0]?.message).toMatch(/output .* was resized/)
  })
})
