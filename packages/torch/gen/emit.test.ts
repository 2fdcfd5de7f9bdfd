import { describe, expect, test } from 'vitest'
import { readAllowList } from './allow-list.js'
import { emitBindings, emitFunction, emitMethod, type Operator } from './emit.js'
import { parseSchema } from './parse.js'
import { argumentType, camelCase, resultType } from './types.js'

/** An entry made of schema lines, as ops.txt names them. */
function operator(name: string, ...lines: string[]): Operator {
  const schemas = lines.map(parseSchema)
  const overloads = schemas.map((schema) => (schema.overload ? `${schema.name}.${schema.overload}` : schema.name))
  return { entry: { name, overloads, section: 'Test' }, schemas }
}
/** Without line breaks, which prettier decides. */
const flat = (text: string | undefined) => text?.replace(/\s+/g, ' ')

describe('a generated function', () => {
  test('takes arguments without default by position and the others as options', () => {
    const text = flat(
      emitFunction(operator('softmax', 'aten::softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor')),
    )
    expect(text).toContain('export function softmax(self: Tensor, dim: number, options?: { dtype?: DType }): Tensor {')
    expect(text).toContain('return wrap($softmax_int(self?.handle, dim, optional(options?.dtype, dtypeCode)))')
  })

  test('chooses among overloads by the types of the arguments', () => {
    const text = flat(
      emitFunction(
        operator(
          'add',
          'aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor',
          'aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor',
        ),
      ),
    )
    expect(text).toContain('add(self: Tensor, other: Tensor | number, options?: { alpha?: number }): Tensor')
    expect(text).toContain("if (typeof other === 'object') { return wrap($add_Tensor(")
    expect(text).toContain('return wrap($add_Scalar(')
  })

  test('chooses by what is missing', () => {
    const text = flat(
      emitFunction(
        operator(
          'sum',
          'aten::sum(Tensor self) -> Tensor',
          'aten::sum.dim_IntList(Tensor self, int[1]? dim) -> Tensor',
        ),
      ),
    )
    expect(text).toContain('if (dim === undefined) { return wrap($sum(self?.handle)) }')
  })

  test('returns the tensor that it writes to, not a new one', () => {
    const text = flat(emitFunction(operator('zero_', 'aten::zero_(Tensor(a!) self) -> Tensor(a!)')))
    expect(text).toContain('$zero_(self?.handle) return self }')
  })

  test('wraps lists and tuples', () => {
    expect(
      flat(emitFunction(operator('chunk', 'aten::chunk(Tensor(a -> *) self, int chunks) -> Tensor(a)[]'))),
    ).toContain('return wrapList<Tensor[]>($chunk(self?.handle, chunks))')
    expect(
      flat(emitFunction(operator('max', 'aten::max.dim(Tensor self, int dim) -> (Tensor values, Tensor indices)'))),
    ).toContain('return wrapTuple<[values: Tensor, indices: Tensor]>(')
  })

  test('leaves out what has no meaning here', () => {
    const text = flat(
      emitFunction(
        operator(
          'zeros',
          'aten::zeros(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor',
        ),
      ),
    )
    expect(text).toContain('options?: { dtype?: DType; device?: Device }')
    expect(text).toContain('$zeros(size, optional(options?.dtype, dtypeCode), undefined, options?.device)')
  })

  test('cannot be made where nothing tells its overloads apart, or their results differ', () => {
    const twice = operator('f', 'aten::f.a(Tensor self, int x) -> Tensor', 'aten::f.b(Tensor self, int y) -> Tensor')
    expect(() => emitFunction(twice)).toThrow(/f: nothing tells a from the overloads after it/)
    const results = operator('f', 'aten::f.a(Tensor self) -> Tensor', 'aten::f.b(Tensor self, int x) -> int')
    expect(() => emitFunction(results)).toThrow(/f: overloads return Tensor and number/)
  })
})

describe('a generated method', () => {
  test('stands for the first argument', () => {
    expect(flat(emitMethod(operator('neg', 'aten::neg(Tensor self) -> Tensor')))).toBe(
      ' neg(): Tensor { return neg(this as unknown as Tensor) }',
    )
  })

  test('exists only where the first argument is the tensor itself', () => {
    expect(emitMethod(operator('cat', 'aten::cat(Tensor[] tensors, int dim=0) -> Tensor'))).toBeUndefined()
    expect(
      emitMethod(operator('embedding', 'aten::embedding(Tensor weight, Tensor indices) -> Tensor')),
    ).toBeUndefined()
  })

  test('does not hide its operator behind an argument of the same name', () => {
    expect(flat(emitMethod(operator('pad', 'aten::pad(Tensor self, int[] pad) -> Tensor')))).toBe(
      ' pad(pad_: readonly number[]): Tensor { return pad(this as unknown as Tensor, pad_) }',
    )
  })
})

test('each overload is bound once', () => {
  const neg = operator('neg', 'aten::neg(Tensor self) -> Tensor')
  expect(emitBindings([neg, neg, operator('f', 'aten::f.x(Tensor self) -> Tensor')])).toBe(
    "const $neg = bind('aten::neg', '')\nconst $f_x = bind('aten::f', 'x')",
  )
})

describe('the allow-list', () => {
  test('is one function a line, under its heading', () => {
    expect(readAllowList('# comment\n\n## Arithmetic\nadd.Tensor add.Scalar\nmax.dim as maxAlong\n')).toEqual([
      { name: 'add', overloads: ['aten::add.Tensor', 'aten::add.Scalar'], section: 'Arithmetic' },
      { name: 'maxAlong', overloads: ['aten::max.dim'], section: 'Arithmetic' },
    ])
  })

  test('may not name two functions alike', () => {
    expect(() => readAllowList('max\nmax.dim')).toThrow(/two lines make max; give one of them a name/)
  })
})

describe('types', () => {
  const value = (type: string) => ({ name: 'x', type, written: false, defaultText: undefined, keywordOnly: false })

  test.each([
    ['Tensor?[]', 'readonly (Tensor | undefined)[]'],
    ['int[2]', 'number | readonly number[]'],
    ['ScalarType?', 'DType'],
  ])('%s is spelled %s', (type, spelling) => {
    expect(argumentType(value(type)).spelling).toBe(spelling)
  })

  test('that are unknown stop the generator', () => {
    expect(() => argumentType(value('Stream'))).toThrow(/no TypeScript type for Stream x/)
    expect(() => resultType([value('Future')])).toThrow(/no TypeScript type for result Future/)
  })

  test.each([
    ['layer_norm', 'layerNorm'],
    ['add_', 'add_'],
    ['_softmax_backward_data', '_softmaxBackwardData'],
    ['log1p', 'log1p'],
    ['conv_transpose2d', 'convTranspose2d'],
  ])('%s becomes %s', (name, expected) => {
    expect(camelCase(name)).toBe(expected)
  })
})
