// One hand-made file for every way to break the format; each is refused, with words that say what is wrong.
import { describe, expect, test } from 'vitest'
import { FormatError } from './errors.js'
import { formatHeader, readHeader } from './safetensors-header.js'

interface Parts {
  /** The header's text, or a value to be written as one. */
  header: unknown
  /** Bytes behind the header. */
  data?: number
  /** What the first 8 bytes say instead of the header's true length. */
  length?: bigint
}

function fileOf({ header, data = 0, length }: Parts): Uint8Array {
  const text =
    typeof header === 'string'
      ? Buffer.from(header)
      : Buffer.isBuffer(header)
        ? header
        : Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(length ?? BigInt(text.length))
  return Buffer.concat([prefix, text, Buffer.alloc(data)])
}

const read = (file: Uint8Array) =>
  readHeader('model.safetensors', file.length, (offset, size) => file.subarray(offset, offset + size))

const f32 = (shape: unknown, data_offsets: unknown) => ({ dtype: 'F32', shape, data_offsets })
const tensorText = (fields: string) => `{"a":{${fields}}}`

const ATTACKS: Record<string, [parts: Parts, words: RegExp]> = {
  'a length of more than the file': [{ header: {}, length: 3n }, /header length: got 3, expected at most 2/],
  'a length of more than 100 MB': [{ header: {}, length: 100_000_001n }, /got 100000001, expected at most 100000000/],
  'a length of 2^64 - 1': [{ header: {}, length: 2n ** 64n - 1n }, /header length: got 18446744073709551615/],
  'a length of zero': [{ header: '' }, /got nothing as its first byte/],
  'a header that is a list': [{ header: [] }, /got 91 as its first byte, expected 123/],
  'a header that begins with a space': [{ header: ' {}' }, /got 32 as its first byte/],
  'a byte order mark': [{ header: '\ufeff{}' }, /got 239 as its first byte/],
  'bytes that are not UTF-8': [{ header: Buffer.from('{"\xff":1}', 'latin1') }, /bytes that are not UTF-8/],
  'a header cut short': [{ header: '{"a":{"dtype":"F32"' }, /CloseBraceExpected/],
  'two objects': [{ header: '{}{}' }, /EndOfFileExpected/],
  'zero bytes as padding': [{ header: '{}\0\0' }, /InvalidSymbol/],
  'a comment': [{ header: '{}// hidden' }, /InvalidCommentToken/],
  'a comment in the middle': [{ header: '{/* hidden */}' }, /InvalidCommentToken/],
  'a trailing comma': [{ header: '{"__metadata__":{"a":"b",}}' }, /got PropertyNameExpected/],
  'single quotes': [{ header: "{'a':1}" }, /InvalidSymbol/],
  'a control character in a name': [{ header: '{"a\u0001":1}' }, /InvalidCharacter/],
  'an unpaired surrogate in a name': [{ header: '{"\\ud800":1}' }, /unpaired surrogate/],
  'an unpaired surrogate in a text': [{ header: '{"__metadata__":{"a":"\\udc00"}}' }, /unpaired surrogate/],
  'deep nesting': [{ header: '{"a":' + '['.repeat(100_000) }, /more than 3 levels of nesting/],
  'nesting inside a shape': [{ header: { a: f32([[1]], [0, 4]) }, data: 4 }, /more than 3 levels/],
  'a tensor named twice': [
    {
      header:
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
      data: 2,
    },
    /header: got the key "a" twice, expected each key once/,
  ],
  'a tensor named twice, once with an escape': [{ header: '{"a":{},"\\u0061":{}}' }, /the key "a" twice/],
  'a field twice': [
    { header: tensorText('"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]'), data: 4 },
    /"dtype" twice/,
  ],
  'metadata twice': [{ header: '{"__metadata__":{},"__metadata__":{}}' }, /"__metadata__" twice/],
  'metadata that is no object': [{ header: { __metadata__: 'x' } }, /__metadata__: got "x", expected an object/],
  'metadata that holds a number': [
    { header: { __metadata__: { step: 3 } } },
    /__metadata__ "step": got 3, expected a string/,
  ],
  'metadata that holds an object': [{ header: { __metadata__: { a: {} } } }, /got an object, expected a string/],
  'metadata that holds null': [{ header: { __metadata__: { a: null } } }, /got null, expected a string/],
  'a tensor that is a number': [
    { header: { a: 1 } },
    /tensor "a": got 1, expected an object of dtype, shape, data_offsets/,
  ],
  'a tensor that is a list': [{ header: { a: [] } }, /tensor "a": got \[\], expected an object/],
  'a tensor without dtype': [{ header: { a: { shape: [1], data_offsets: [0, 4] } }, data: 4 }, /dtype: got nothing/],
  'a tensor without shape': [{ header: { a: { dtype: 'F32', data_offsets: [0, 4] } }, data: 4 }, /shape: got nothing/],
  'a tensor without offsets': [{ header: { a: { dtype: 'F32', shape: [1] } }, data: 4 }, /data_offsets: got nothing/],
  'a field that the format does not have': [
    { header: { a: { ...f32([1], [0, 4]), run: 'me' } }, data: 4 },
    /tensor "a": got a field "run", expected dtype, shape, data_offsets/,
  ],
  'an unknown dtype': [
    { header: { a: { dtype: 'F8_E4M3', shape: [1], data_offsets: [0, 1] } }, data: 1 },
    /dtype: got "F8_E4M3", expected one of F64, F32/,
  ],
  'a dtype in lower case': [
    { header: { a: { dtype: 'f32', shape: [1], data_offsets: [0, 4] } }, data: 4 },
    /got "f32"/,
  ],
  'a dtype that is a number': [
    { header: { a: { dtype: 1, shape: [1], data_offsets: [0, 4] } }, data: 4 },
    /dtype: got 1/,
  ],
  'a negative size': [{ header: { a: f32([-1], [0, 4]) }, data: 4 }, /shape: got \[-1\], expected a list of integers/],
  'two negative sizes whose product is right': [{ header: { a: f32([-1, -1], [0, 4]) }, data: 4 }, /\[-1, -1\]/],
  'a fraction as size': [
    { header: tensorText('"dtype":"F32","shape":[1.0],"data_offsets":[0,4]'), data: 4 },
    /\[1\.0\]/,
  ],
  'an exponent as size': [
    { header: tensorText('"dtype":"F32","shape":[1e0],"data_offsets":[0,4]'), data: 4 },
    /\[1e0\]/,
  ],
  'a size with a leading zero': [
    { header: tensorText('"dtype":"F32","shape":[01],"data_offsets":[0,4]'), data: 4 },
    /CommaExpected/,
  ],
  'a size in quotes': [{ header: { a: f32(['1'], [0, 4]) }, data: 4 }, /shape: got \["1"\]/],
  'a size of true': [{ header: { a: f32([true], [0, 4]) }, data: 4 }, /shape: got \[true\]/],
  'a size of 2^53': [
    { header: { a: f32([2 ** 53], [0, 4]) }, data: 4 },
    /\[9007199254740992\], expected a list of integers/,
  ],
  'a shape that is a number': [{ header: { a: f32(1, [0, 4]) }, data: 4 }, /shape: got 1, expected a list/],
  'sizes whose product overflows 64 bits': [
    { header: { a: f32([2 ** 32, 2 ** 32], [0, 4]) }, data: 4 },
    /product is below 2\^53/,
  ],
  'sizes that overflow to the right product': [
    { header: { a: f32([2 ** 52 + 1, 4096, 1024], [0, 4]) }, data: 4 },
    /product is below/,
  ],
  'an overflow behind a size of zero': [{ header: { a: f32([0, 2 ** 40, 2 ** 40], [0, 0]) } }, /product is below/],
  'a shape larger than its bytes': [
    { header: { a: f32([2], [0, 4]) }, data: 4 },
    /got 4 bytes \(data_offsets \[0, 4\]\), expected 8 bytes for float32\[2\]/,
  ],
  'a shape smaller than its bytes': [
    { header: { a: f32([], [0, 8]) }, data: 8 },
    /got 8 bytes .*, expected 4 bytes for float32\[\]/,
  ],
  'offsets in reverse': [
    { header: { a: f32([1], [4, 0]) }, data: 4 },
    /data_offsets: got \[4, 0\], expected \[begin, end\]/,
  ],
  'one offset': [{ header: { a: f32([1], [4]) }, data: 4 }, /data_offsets: got \[4\]/],
  'three offsets': [{ header: { a: f32([1], [0, 4, 8]) }, data: 8 }, /data_offsets: got \[0, 4, 8\]/],
  'a negative offset': [{ header: { a: f32([1], [-4, 0]) }, data: 4 }, /data_offsets: got \[-4, 0\]/],
  'a gap before the first tensor': [
    { header: { a: f32([1], [4, 8]) }, data: 8 },
    /got bytes from 4, expected from 0: no gap, no overlap/,
  ],
  'a gap between tensors': [
    { header: { a: f32([1], [0, 4]), b: f32([1], [8, 12]) }, data: 12 },
    /tensor "b": got bytes from 8, expected from 4/,
  ],
  'tensors that overlap': [
    { header: { a: f32([2], [0, 8]), b: f32([1], [4, 8]) }, data: 8 },
    /tensor "b": got bytes from 4, expected from 8/,
  ],
  'two tensors over the same bytes': [
    { header: { a: f32([1], [0, 4]), b: f32([1], [0, 4]) }, data: 4 },
    /got bytes from 0, expected from 4/,
  ],
  'bytes behind the last tensor': [
    { header: { a: f32([1], [0, 4]) }, data: 5 },
    /data, up to tensor "a": got 5 bytes in the file, expected the 4/,
  ],
  'bytes and no tensor': [{ header: {}, data: 1 }, /data: got 1 bytes in the file, expected the 0/],
  'a truncated file': [{ header: { a: f32([4], [0, 16]) }, data: 15 }, /got 15 bytes in the file, expected the 16/],
}

describe('a header', () => {
  test.each(Object.entries(ATTACKS))('with %s is refused', (_, [parts, words]) => {
    const file = fileOf(parts)
    expect(() => read(file)).toThrow(FormatError)
    expect(() => read(file)).toThrow(words)
    expect(() => read(file)).toThrow(/^model\.safetensors is not a valid safetensors file: /)
  })

  test.each([0, 1, 7])('of a file of %i bytes is refused', (size) => {
    expect(() => read(new Uint8Array(size))).toThrow(/got a file of \d bytes, expected at least 8 bytes/)
  })

  test('without tensors is read', () => {
    expect(read(fileOf({ header: {} })).entries.size).toBe(0)
  })

  test('gives entries in the order of their bytes, whatever the order in the text, with empty tensors anywhere', () => {
    const header = {
      __metadata__: { __proto__x: 'y' },
      b: f32([0, 3], [4, 4]),
      c: f32([2], [4, 12]),
      a: f32([], [0, 4]),
    }
    const { entries, metadata } = read(fileOf({ header: JSON.stringify(header) + '   \n', data: 12 }))
    expect([...entries.keys()]).toEqual(['a', 'b', 'c'])
    expect(entries.get('c')).toMatchObject({ dtype: 'float32', shape: [2], nbytes: 8 })
    expect(metadata).toEqual({ __proto__x: 'y' })
  })

  test('may name a tensor __proto__ or constructor', () => {
    const text =
      '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
    expect([...read(fileOf({ header: text, data: 2 })).entries.keys()]).toEqual(['__proto__', 'constructor'])
  })

  test('of a million bytes is read within a second of processor time', () => {
    const header = Object.fromEntries(
      Array.from({ length: 14_000 }, (_, i) => [`layer.${i}.weight`, f32([1], [4 * i, 4 * i + 4])]),
    )
    const file = fileOf({ header, data: 56_000 })
    const start = process.cpuUsage()
    expect(read(file).entries.size).toBe(14_000)
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(1)
  })
})

describe('a written header', () => {
  const one = [{ name: 'a', dtype: 'float32', shape: [1] }] as const

  test('ends on a multiple of 64 bytes and reads back', () => {
    const header = formatHeader('x', one, { format: 'pt' })
    expect(header.length % 64).toBe(0)
    const { entries, metadata } = read(Buffer.concat([header, Buffer.alloc(4)]))
    expect(entries.get('a')).toEqual({ dtype: 'float32', shape: [1], byteOffset: header.length, nbytes: 4 })
    expect(metadata).toEqual({ format: 'pt' })
  })

  test.each([['__metadata__'], ['\ud800']])('refuses to name a tensor %j', (name) => {
    expect(() => formatHeader('x', [{ ...one[0], name }], {})).toThrow(/cannot be the name of a tensor/)
  })

  test.each([[1], [undefined], ['\udc00']])('refuses the metadata %j', (value) => {
    expect(() => formatHeader('x', one, { key: value })).toThrow(/metadata "key" must be a string/)
  })
})
