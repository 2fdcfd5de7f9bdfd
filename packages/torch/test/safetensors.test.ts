// Safetensors files as a user meets them: what is written reads back, what is damaged is refused, and nothing is copied.
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tensor } from '@hearth/torch'
import {
  arange,
  DisposedError,
  dtypes,
  FormatError,
  full,
  HearthError,
  MappedFile,
  ones,
  readSafetensors,
  scope,
  tensor,
  writeSafetensors,
} from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-safetensors-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)

describe('a safetensors file', () => {
  test.each(dtypes)('keeps the bits of %s', (dtype) => {
    const values = arange(0, 24)
      .to('float32')
      .sub(dtype === 'uint8' || dtype === 'bool' ? 0 : 11)
      .div(2)
    const x = values.to(dtype).view([2, 3, 4])
    writeSafetensors(at('dtype'), { x })
    using file = readSafetensors(at('dtype'))
    const y = file.tensor('x')
    expect([y.dtype, y.shape]).toEqual([dtype, [2, 3, 4]])
    expect(y.data()).toEqual(x.data())
  })

  test('keeps scalars, empty tensors, names of all kinds, and metadata', () => {
    const tensors = { '': full([], 3), 'größe ✓ "q"': full([0, 5], 1), '0': full([2], 2), ['__proto__']: full([1], 4) }
    writeSafetensors(at('names'), tensors, { format: 'pt', ['__proto__']: 'kept' })
    using file = readSafetensors(at('names'))
    expect([...file.entries.keys()].sort()).toEqual(Object.keys(tensors).sort())
    expect(file.tensor('').item()).toBe(3)
    expect(file.tensor('größe ✓ "q"').shape).toEqual([0, 5])
    expect(Object.entries(file.metadata)).toEqual([
      ['format', 'pt'],
      ['__proto__', 'kept'],
    ])
  })

  test('has the same bytes whatever order the tensors are given in, widest elements first', () => {
    const a = full([3], 1)
    const b = full([3], 1, { dtype: 'uint8' })
    const c = full([3], 1, { dtype: 'float64' })
    writeSafetensors(at('order1'), { b, a, c })
    writeSafetensors(at('order2'), { c, b, a })
    expect(readFileSync(at('order1'))).toEqual(readFileSync(at('order2')))
    using file = readSafetensors(at('order1'))
    expect([...file.entries.keys()]).toEqual(['c', 'a', 'b'])
  })

  test('is written from views that are not contiguous, and from leaves that require gradients', () => {
    const x = arange(0, 6).to('float32').view([2, 3]).setRequiresGrad(true)
    writeSafetensors(at('views'), { t: x.transpose(0, 1), part: x.select(1, 1), x })
    using file = readSafetensors(at('views'))
    expect(file.tensor('t').toNested()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ])
    expect(file.tensor('part').toArray()).toEqual([1, 4])
    expect(file.tensor('x').requiresGrad).toBe(false)
  })

  test('gives tensors that outlive close() and can be written to without changing the file', () => {
    writeSafetensors(at('own'), { x: ones([4]) })
    const before = readFileSync(at('own'))
    const file = readSafetensors(at('own'))
    const x = file.tensor('x')
    file.close()
    x.add_(1)
    expect(x.toArray()).toEqual([2, 2, 2, 2])
    expect(readFileSync(at('own'))).toEqual(before)
    expect(() => file.tensor('x')).toThrow(DisposedError)
  })

  test('gives a tensor that is not aligned to its elements as a copy', () => {
    const header =
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}'
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    writeFileSync(
      at('unaligned'),
      Buffer.concat([length, Buffer.from(header), Buffer.of(7), Buffer.from(Float32Array.of(1.5, -2).buffer)]),
    )
    using file = readSafetensors(at('unaligned'))
    expect(file.tensor('b').toArray()).toEqual([1.5, -2])
    expect(file.tensor('a').item()).toBe(7)
  })

  test('can be saved over while its own tensors are what is saved', () => {
    const n = 100_000
    writeSafetensors(at('over'), { x: arange(0, n), y: ones([n]) })
    using file = readSafetensors(at('over'))
    const [x, y] = [file.tensor('x'), file.tensor('y')]
    writeSafetensors(at('over'), { x, y: y.mul(2) })
    expect(x.sum().item()).toBe((n * (n - 1)) / 2)
    using again = readSafetensors(at('over'))
    expect(again.tensor('x').sum().item()).toBe((n * (n - 1)) / 2)
    expect(again.tensor('y').sum().item()).toBe(2 * n)
  })

  test('reads what PyTorch recorded', () => {
    using file = readSafetensors(new URL('../../../fixtures/models/gpt2/model.safetensors', import.meta.url).pathname)
    expect(file.entries.size).toBeGreaterThan(10)
    for (const name of file.entries.keys()) scope(() => expect(file.tensor(name).isfinite().all().item()).toBe(1))
  })

  test('with a BOOL byte other than 0 and 1 is refused, because kernels count by such bytes', () => {
    writeSafetensors(at('bool'), { x: tensor([1, 0, 1], { dtype: 'bool' }) })
    const bytes = readFileSync(at('bool'))
    bytes[bytes.length - 1] = 2
    writeFileSync(at('bool'), bytes)
    using file = readSafetensors(at('bool'))
    expect(() => file.tensor('x')).toThrow(/tensor "x": got the byte 2, expected 0 or 1/)
  })
})

describe('what cannot be read or written', () => {
  test('is one clear error', () => {
    expect(() => readSafetensors(at('missing'))).toThrow(HearthError)
    expect(() => readSafetensors(at('missing'))).toThrow(/cannot map .*missing: No such file/)
    expect(() => readSafetensors(folder)).toThrow(/not a regular file/)
    expect(() => writeSafetensors(at('no/such/folder'), { x: ones([1]) })).toThrow(/cannot write .*open failed: ENOENT/)
    expect(() => writeSafetensors(at('x'), { x: 3 as unknown as Tensor })).toThrow(/"x" is not a Tensor, but number/)
    writeSafetensors(at('x'), { x: ones([1]) })
    using file = readSafetensors(at('x'))
    expect(() => file.tensor('y')).toThrow(/has no tensor "y"; it has "x"/)
  })

  test('leaves the old file and no other behind', () => {
    writeSafetensors(at('old'), { x: ones([2]) })
    const before = readdirSync(folder)
    const disposed = ones([2])
    disposed.dispose()
    expect(() => writeSafetensors(at('old'), { a: ones([2]), x: disposed })).toThrow(DisposedError)
    expect(() => writeSafetensors(at('old'), { x: ones([2]) }, { step: 3 as unknown as string })).toThrow(FormatError)
    expect(readdirSync(folder)).toEqual(before)
    using file = readSafetensors(at('old'))
    expect(file.tensor('x').toArray()).toEqual([1, 1])
  })

  test.each([0, 1, 7, 8, 20, 100, 130])('is refused when it is cut to %i bytes', (size) => {
    writeSafetensors(at('cut'), { x: ones([16]) })
    truncateSync(at('cut'), size)
    expect(() => readSafetensors(at('cut'))).toThrow(FormatError)
  })
})

// Mutations of a valid file: each is either refused with a FormatError or read without a fault.
describe('a damaged file', () => {
  const random = (seed: number) => () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }

  function mutate(valid: Buffer, next: () => number): Buffer {
    const bytes = Buffer.from(valid)
    const headerEnd = 8 + Number(valid.readBigUInt64LE(0))
    for (let edits = 1 + Math.floor(next() * 3); edits > 0; edits--) {
      const where = Math.floor(next() * headerEnd)
      const kind = next()
      if (kind < 0.3) bytes[where] = Math.floor(next() * 256)
      else if (kind < 0.5) bytes[where] = 0x30 + Math.floor(next() * 10)
      else if (kind < 0.7) bytes.copyWithin(where, Math.floor(next() * headerEnd), Math.floor(next() * headerEnd))
      else if (kind < 0.8) bytes[where]! ^= 1 << Math.floor(next() * 8)
      else if (kind < 0.9)
        bytes.write(['{', '}', '[', ']', '"', ',', '-', 'e', '999999999999'][Math.floor(next() * 9)]!, where)
      else return bytes.subarray(0, Math.floor(next() * bytes.length))
    }
    return bytes
  }

  test.each([1, 2, 3])('is refused or read, never a crash (seed %i)', (seed) => {
    writeSafetensors(
      at('fuzz'),
      { 'a.weight': ones([4, 4]), b: ones([3], { dtype: 'int64' }), c: full([5], 1, { dtype: 'bool' }) },
      { format: 'pt' },
    )
    const valid = readFileSync(at('fuzz'))
    const next = random(seed)
    const outcomes = { refused: 0, read: 0 }
    for (let i = 0; i < 1500; i++) {
      writeFileSync(at('fuzz'), mutate(valid, next))
      scope(() => {
        try {
          using file = readSafetensors(at('fuzz'))
          for (const [name, { shape }] of file.entries)
            expect(file.tensor(name).toArray()).toHaveLength(shape.reduce((a, b) => a * b, 1))
          outcomes.read++
        } catch (error) {
          if (!(error instanceof FormatError)) throw error
          outcomes.refused++
        }
      })
    }
    expect(outcomes.refused).toBeGreaterThan(500)
    expect(outcomes.read).toBeGreaterThan(20)
  })
})

describe('memory', () => {
  test('grows by what is touched, not by the size of the file', () => {
    const megabytes = 64
    scope(() => writeSafetensors(at('big'), { a: ones([megabytes, 2 ** 18]), b: ones([4]) }))
    using file = readSafetensors(at('big'))
    const before = process.memoryUsage().rss
    const a = file.tensor('a')
    expect(process.memoryUsage().rss - before).toBeLessThan(8 * 2 ** 20)
    a.select(0, 0).sum().item()
    expect(process.memoryUsage().rss - before).toBeLessThan(24 * 2 ** 20)
    expect(a.sum().item()).toBe(megabytes * 2 ** 18)
    expect(process.memoryUsage().rss - before).toBeGreaterThan(48 * 2 ** 20)
  })
})

describe('a mapped file', () => {
  test('gives any part of its bytes without a copy, also after it is closed', () => {
    writeFileSync(
      at('plain'),
      Uint8Array.from({ length: 5000 }, (_, i) => i % 256),
    )
    const file = MappedFile.open(at('plain'))
    const part = file.bytes(4090, 20)
    file.close()
    file.close()
    expect(file.size).toBe(5000)
    expect([...part]).toEqual(Array.from({ length: 20 }, (_, i) => (4090 + i) % 256))
    expect(() => file.bytes(0, 1)).toThrow(DisposedError)
  })

  test.each([
    [-1, 1],
    [0, 5001],
    [5000, 1],
    [0.5, 1],
    [NaN, 1],
    [0, NaN],
    [2 ** 53, 1],
    [0, -1],
  ])('refuses the range %d, %d', (offset, length) => {
    using file = MappedFile.open(at('plain'))
    expect(() => file.bytes(offset, length)).toThrow(/expected one within its 5000 bytes/)
  })

  test('of no bytes has no bytes', () => {
    writeFileSync(at('empty'), '')
    using file = MappedFile.open(at('empty'))
    expect(file.bytes()).toHaveLength(0)
  })
})
