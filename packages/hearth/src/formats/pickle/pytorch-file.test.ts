// Files that torch.save wrote give the tensors that it was given; files that attack are refused, and nothing runs.
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FormatError, readSafetensors } from '@hearth/torch'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture } from '../../../test/recorded.js'
import { flattenTree } from '../../tree/index.js'
import { loadModel } from '../index.js'
import { readPickle } from './machine.js'
import { readPytorch } from './pytorch-file.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-pickle-'))
afterAll(() => rmSync(root, { recursive: true }))
const pickle = (name: string) => fixture(`pickles/${name}`)

/** Reads a stream given as text; characters are bytes. */
const read = (stream: string) =>
  readPickle('stream', Buffer.from(stream, 'latin1'), {
    persistent: () => {
      throw new Error('no storages here')
    },
  })

describe('a file of torch.save', () => {
  test.each(['archive.pt', 'old.pt', 'protocol4.pt', 'training.ckpt'])('%s holds what was saved', (name) => {
    using file = readPytorch(pickle(name))
    using expected = readSafetensors(pickle('expected.safetensors'))
    expect([...file.entries.keys()].sort()).toEqual([...expected.entries.keys()].sort())
    for (const [key, { shape, dtype }] of expected.entries) {
      expect(file.entries.get(key), key).toEqual({ shape, dtype })
      expect(file.tensor(key).toArray(), key).toEqual(expected.tensor(key).toArray())
    }
  })

  test('makes a model folder with safetensors’ weights, in shards and under an index', () => {
    const [model, original] = [pickle('gpt2'), fixture('models/gpt2')].map((folder) => loadModel(folder))
    const values = (one: typeof model) =>
      Object.fromEntries(Object.entries(flattenTree(one!.weights)).map(([path, leaf]) => [path, leaf]))
    for (const [path, leaf] of Object.entries(values(original)))
      expect(values(model)[path]!.toArray(), path).toEqual(leaf.to('float16').to('float32').toArray())
  })

  test('keeps tensors valid after it is closed and gone', () => {
    const path = join(root, 'gone.pt')
    copyFileSync(pickle('archive.pt'), path)
    const file = readPytorch(path)
    const tensor = file.tensor('transposed')
    file.close()
    rmSync(path)
    expect(tensor.shape).toEqual([6, 4])
    expect(tensor.toArray().slice(0, 4)).toEqual([0, 6, 12, 18])
  })
})

describe('an attack', () => {
  test.each(['attack.pt', 'attack-old.pt'])('%s is refused by name and does not run', (name) => {
    expect(() => readPytorch(pickle(name))).toThrow(/the name "posix\.system", which Python would load and run/)
    expect(() => readPytorch(pickle(name))).toThrow(FormatError)
    expect(existsSync('hearth-was-here')).toBe(false)
  })

  test('of an object of a class is refused', () => {
    expect(() => readPytorch(pickle('object.pt'))).toThrow(/"__main__\.Build"/)
  })

  test('of a plain pickle is no file of torch.save', () => {
    expect(() => readPytorch(pickle('plain.pkl'))).toThrow(/the name "posix\.system"/)
  })

  test.each<[string, string, RegExp]>([
    ['an opcode that makes objects', '\x80\x02c__main__\nX\n)\x81.', /the name "__main__\.X"/],
    ['opcode INST', '(ios\nsystem\n.', /opcode 0x69/],
    ['opcode OBJ', '(o.', /opcode 0x6f/],
    ['an extension', '\x82\x01.', /opcode 0x82/],
    ['eval by its old name', 'c__builtin__\neval\n.', /"__builtin__\.eval"/],
    ['a name beside an allowed one', 'ctorch._utils\n_rebuild_tensor_v2.__globals__\n.', /__globals__/],
    ['a call of data', '\x80\x02K\x01)R.', /a call of 1/],
    ['a class as a tensor', 'ctorch._utils\n_rebuild_tensor_v2\n)R.', /got nothing, expected the storage of a tensor/],
    ['a stack that is empty', '.', /an empty stack/],
    ['a mark for a value', '(.', /an empty stack/],
    ['tuples out of nothing', '\x80\x02\x87.', /an empty stack/],
    ['no mark', ']e.', /no mark/],
    ['a memo that was never written', 'h\x05.', /the memo's place 5/],
    ['a text of 4 GB', 'X\xff\xff\xff\xffabc', /the 4294967295 that an opcode needs/],
    ['a text that is not UTF-8', 'X\x02\x00\x00\x00\xff\xff.', /not UTF-8/],
    ['no end', '\x80\x02}', /0 bytes more/],
    ['a later protocol', '\x80\x06N.', /protocol 6/],
    ['a key without a value', '}(K\x01u.', /a key without a value/],
    ['attributes of a number', 'K\x01}b.', /attributes of 1/],
  ])('with %s is refused', (_, stream, words) => {
    expect(() => read(stream)).toThrow(FormatError)
    expect(() => read(stream)).toThrow(words)
  })

  test('that fills memory from a small file is stopped early', () => {
    expect(() => read('}'.repeat(10_000_000))).toThrow(/more values than any state dict holds/)
    expect(() => read(`X\x00\x00\x10\x00${'a'.repeat(2 ** 20)}q\x00${'0h\x00'.repeat(10)}`)).toThrow(/opcode 0x30/)
    expect(() => read(`N${Array.from({ length: 500_000 }, () => 'r\x01\x00\x00\x00').join('')}`)).toThrow(/more values/)
  })
})

describe('a damaged file', () => {
  const changed = (name: string, change: (bytes: Buffer) => Buffer) => {
    const path = join(root, 'changed.pt')
    writeFileSync(path, change(readFileSync(pickle(name))))
    return () => readPytorch(path)
  }
  const replacing = (from: string, to: string) => (bytes: Buffer) =>
    Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1')

  test.each([0, 3, 100, 1000, 2700])('that ends at byte %i is refused', (size) => {
    expect(changed('archive.pt', (bytes) => bytes.subarray(0, size))).toThrow(FormatError)
    expect(changed('old.pt', (bytes) => bytes.subarray(0, size % 1000))).toThrow(FormatError)
  })

  test('whose storage is shorter than its tensors is refused, with the tensor named', () => {
    // `plain` is 24 elements (K\x18): 200 are more than its storage's bytes.
    const load = changed('archive.pt', replacing('X\x03\x00\x00\x00cpuq\x07K\x18', 'X\x03\x00\x00\x00cpuq\x07K\xc8'))
    expect(load).toThrow(/tensor "plain": got a storage of 96 bytes under "0", expected 800 bytes/)
  })

  test('whose strides lead out of the storage is refused', () => {
    const load = changed('archive.pt', replacing('K\x04K\x06\x86', 'K\x04K\x07\x86'))
    expect(load).toThrow(/expected one within its storage of 24 elements/)
  })

  test('that is compressed is refused', () => {
    const load = changed('archive.pt', (bytes) => {
      const directory = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]))
      bytes.writeUInt16LE(8, directory + 10)
      return bytes
    })
    expect(load).toThrow(/compressed by method 8, expected members stored as they are/)
  })

  test('of nothing is refused', () => {
    const path = join(root, 'empty.bin')
    writeFileSync(path, '')
    truncateSync(path, 0)
    expect(() => readPytorch(path)).toThrow(FormatError)
  })
})
