import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readOperators } from './operators.js'
import { parseSchema } from './parse.js'

const folder = new URL('../schema/', import.meta.url)
const dumps = readdirSync(folder).filter((name) => name.startsWith('aten-'))
const linesOf = (dump: string) => readFileSync(new URL(dump, folder), 'utf8').trim().split('\n')

describe('parseSchema', () => {
  test('reads name, overload, defaults and the star', () => {
    expect(parseSchema('aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor')).toEqual({
      name: 'aten::add',
      overload: 'Tensor',
      arguments: [
        { name: 'self', type: 'Tensor', written: false, defaultText: undefined, keywordOnly: false },
        { name: 'other', type: 'Tensor', written: false, defaultText: undefined, keywordOnly: false },
        { name: 'alpha', type: 'Scalar', written: false, defaultText: '1', keywordOnly: true },
      ],
      returns: [{ name: '', type: 'Tensor', written: false, defaultText: undefined, keywordOnly: false }],
    })
  })

  test('tells what is written from what is only aliased', () => {
    const { arguments: values } = parseSchema('aten::add_.Tensor(Tensor(a!) self, Tensor(b) other) -> Tensor(a!)')
    expect(values.map(({ type, written }) => [type, written])).toEqual([
      ['Tensor', true],
      ['Tensor', false],
    ])
  })

  test('does not split defaults at their commas', () => {
    const { arguments: values } = parseSchema('aten::f(int[2] size=[1, 1], str text="a, b", Tensor?[] list) -> ()')
    expect(values.map(({ name, type, defaultText }) => [name, type, defaultText])).toEqual([
      ['size', 'int[2]', '[1, 1]'],
      ['text', 'str', '"a, b"'],
      ['list', 'Tensor?[]', undefined],
    ])
  })

  test('reads several results, with and without names', () => {
    expect(parseSchema('aten::max.dim(Tensor self) -> (Tensor values, Tensor indices)').returns).toMatchObject([
      { name: 'values', type: 'Tensor' },
      { name: 'indices', type: 'Tensor' },
    ])
    expect(parseSchema('aten::f(Tensor self) -> ()').returns).toEqual([])
    expect(parseSchema('aten::split(Tensor(a -> *) self) -> Tensor(a)[]').returns).toMatchObject([{ type: 'Tensor[]' }])
  })

  test('takes symbolic integers of 2.x as integers', () => {
    expect(parseSchema('aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)').arguments[1]).toMatchObject({
      type: 'int[]',
    })
  })

  test('refuses what is no schema, naming it', () => {
    expect(() => parseSchema('add(Tensor self)')).toThrow(/not an operator schema: add\(Tensor self\)/)
    expect(() => parseSchema('aten::f(1x) -> ()')).toThrow(/not a schema argument: 1x/)
  })

  test.each(dumps)('reads every operator of %s', (dump) => {
    const lines = linesOf(dump)
    expect(lines.length).toBeGreaterThan(2000)
    for (const line of lines) expect(line.startsWith(parseSchema(line).name)).toBe(true)
  })
})

test.each(dumps)('%s has every operator that gets a typed function, and its arguments where they were', (dump) => {
  const lines = new Map(linesOf(dump).map((line) => [line.slice(0, line.indexOf('(')), parseSchema(line)]))
  for (const { entry, schemas } of readOperators())
    schemas.forEach((schema, i) => {
      const found = lines.get(entry.overloads[i]!)?.arguments.map(({ name }) => name)
      expect(found?.slice(0, schema.arguments.length), entry.overloads[i]).toEqual(
        schema.arguments.map(({ name }) => name),
      )
    })
})
