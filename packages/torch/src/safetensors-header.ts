// The header of a safetensors file: read with every rule of the format checked, and written. A file is the length of one
// JSON object, that object, and the bytes of all tensors without gaps: https://github.com/huggingface/safetensors.
// Not here: files and tensors (safetensors.ts).
import { dtypeBytes, type DType } from './dtype.js'
import { FormatError } from './errors.js'
import { parseHeaderJson, quoted, UNPAIRED, type HeaderObject, type HeaderValue } from './header-json.js'

/** One tensor of a file. */
export interface SafetensorsEntry {
  dtype: DType
  shape: readonly number[]
  /** Where its bytes begin, counted from the beginning of the file. */
  byteOffset: number
  nbytes: number
}

export interface SafetensorsHeader {
  metadata: Record<string, string>
  /** In the order of their bytes. */
  entries: Map<string, SafetensorsEntry>
}

/** The format's own limit: no model needs more, and a larger header is an attack on memory. */
const MAX_HEADER_BYTES = 100_000_000
const LENGTH_BYTES = 8
// Whole cache lines: kernels read tensors that begin on one faster.
const ALIGNMENT = 64
const METADATA = '__metadata__'

const DTYPES = new Map<string, DType>([
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['I64', 'int64'],
  ['I32', 'int32'],
  ['I16', 'int16'],
  ['I8', 'int8'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
])
const DTYPE_NAMES = new Map([...DTYPES].map(([name, dtype]) => [dtype, name]))

/** Throws the one error that every broken rule ends in. */
type Check = (holds: boolean, where: string, got: () => string, expected: string) => asserts holds

/**
 * Reads and checks the header of a file.
 * @param path for messages
 * @param size bytes of the whole file
 * @param bytes gives a part of the file
 * @throws FormatError on the first rule that is broken, naming the file, the tensor, what was found and what was expected
 */
export function readHeader(
  path: string,
  size: number,
  bytes: (offset: number, length: number) => Uint8Array,
): SafetensorsHeader {
  const fail = (where: string, got: string, expected: string) =>
    new FormatError(`${path} is not a valid safetensors file: ${where}: got ${got}, expected ${expected}`)
  const check: Check = (holds, where, got, expected) => {
    if (!holds) throw fail(where, got(), expected)
  }
  check(size >= LENGTH_BYTES, 'header length', () => `a file of ${size} bytes`, 'at least 8 bytes')
  const prefix = bytes(0, LENGTH_BYTES)
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  const rest = size - LENGTH_BYTES
  check(length <= MAX_HEADER_BYTES, 'header length', () => `${length}`, `at most ${MAX_HEADER_BYTES}`)
  check(length <= rest, 'header length', () => `${length}`, `at most ${rest}, the bytes that follow it in the file`)
  const header = bytes(LENGTH_BYTES, Number(length))
  check(header[0] === 0x7b, 'header', () => `${header[0] ?? 'nothing'} as its first byte`, `123, which is '{'`)
  const json = parseHeaderJson(decode(header, check), (got, expected) => fail('header', got, expected)) as HeaderObject
  const metadata = readMetadata(json.get(METADATA), check)
  json.delete(METADATA)
  return { metadata, entries: readEntries(json, LENGTH_BYTES + Number(length), size, check) }
}

function decode(header: Uint8Array, check: Check): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header)
  } catch {
    check(false, 'header', () => 'bytes that are not UTF-8', 'UTF-8')
  }
}

function readMetadata(value: HeaderValue | undefined, check: Check): Record<string, string> {
  if (value === undefined) return {}
  check(value instanceof Map, METADATA, () => describe(value), 'an object')
  for (const [key, text] of value)
    check(typeof text === 'string', `${METADATA} ${quoted(key)}`, () => describe(text), 'a string')
  return Object.fromEntries(value as Map<string, string>)
}

/** Every tensor's fields, and that together they index every byte behind the header exactly once. */
function readEntries(json: HeaderObject, dataStart: number, size: number, check: Check): Map<string, SafetensorsEntry> {
  const found = [...json].map(([name, fields]) => [name, readEntry(name, fields, dataStart, check)] as const)
  found.sort(([, a], [, b]) => a.byteOffset - b.byteOffset || a.nbytes - b.nbytes)
  let end = dataStart
  for (const [name, entry] of found) {
    const begin = () => `bytes from ${entry.byteOffset - dataStart}`
    check(entry.byteOffset === end, tensorNamed(name), begin, `from ${end - dataStart}: no gap, no overlap`)
    end += entry.nbytes
  }
  const last = found.at(-1)
  const where = last === undefined ? 'data' : `data, up to ${tensorNamed(last[0])}`
  check(end === size, where, () => `${size - dataStart} bytes in the file`, `the ${end - dataStart} that tensors cover`)
  return new Map(found)
}

const FIELDS = ['dtype', 'shape', 'data_offsets']

function readEntry(name: string, value: HeaderValue, dataStart: number, check: Check): SafetensorsEntry {
  const where = tensorNamed(name)
  check(value instanceof Map, where, () => describe(value), `an object of ${FIELDS.join(', ')}`)
  for (const key of value.keys()) check(FIELDS.includes(key), where, () => `a field ${quoted(key)}`, FIELDS.join(', '))
  const spelled = value.get('dtype')
  const dtype = DTYPES.get(spelled as string)
  check(dtype !== undefined, `${where} dtype`, () => describe(spelled), `one of ${[...DTYPES.keys()].join(', ')}`)
  const shape = readIntegers(value.get('shape'), `${where} shape`, check)
  const offsets = readIntegers(value.get('data_offsets'), `${where} data_offsets`, check)
  const [begin, end] = offsets
  check(
    begin !== undefined && end !== undefined && offsets.length === 2 && begin <= end,
    `${where} data_offsets`,
    () => describe(offsets),
    '[begin, end] with begin <= end',
  )
  const nbytes = byteSize(shape, dtype)
  check(nbytes !== undefined, `${where} shape`, () => describe(shape), 'sizes whose product is below 2^53 bytes')
  const got = () => `${end - begin} bytes (data_offsets ${describe(offsets)})`
  check(nbytes === end - begin, where, got, `${nbytes} bytes for ${dtype}${describe(shape)}`)
  return { dtype, shape, byteOffset: dataStart + begin, nbytes }
}

function readIntegers(value: HeaderValue | undefined, where: string, check: Check): number[] {
  const whole = Array.isArray(value) && value.every((item) => typeof item === 'number')
  check(whole, where, () => describe(value), 'a list of integers from 0 to 2^53 - 1')
  return value
}

// Sizes of zero do not hide an overflow of the others: strides are computed from those.
function byteSize(shape: readonly number[], dtype: DType): number | undefined {
  let bytes = dtypeBytes(dtype)
  for (const size of shape) bytes *= Math.max(size, 1)
  if (!Number.isSafeInteger(bytes)) return undefined
  return shape.includes(0) ? 0 : bytes
}

const tensorNamed = (name: string) => `tensor ${quoted(name)}`

function describe(value: HeaderValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value instanceof Map) return 'an object'
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'number') return `${value}`
  if (!Array.isArray(value)) return value.literal
  const items = value.slice(0, 8).map(describe).join(', ')
  return `[${items}${value.length > 8 ? ', …' : ''}]`
}

/** A tensor to be written. */
export interface Described {
  name: string
  dtype: DType
  shape: readonly number[]
}

/**
 * The beginning of a file that holds these tensors in this order: its length, its JSON, and spaces up to an alignment.
 * @param path for messages
 * @throws FormatError when a name or a text cannot be written, or the header is larger than the format allows
 */
export function formatHeader(
  path: string,
  tensors: readonly Described[],
  metadata: Readonly<Record<string, unknown>>,
): Uint8Array {
  const fields: string[] = []
  const add = (key: string, value: unknown) => fields.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`)
  if (Object.keys(metadata).length > 0) add(METADATA, checkMetadata(path, metadata))
  let end = 0
  for (const { name, dtype, shape } of tensors) {
    if (name === METADATA || UNPAIRED.test(name))
      throw new FormatError(`cannot write ${path}: ${quoted(name)} cannot be the name of a tensor`)
    const begin = end
    end += byteSize(shape, dtype)!
    add(name, { dtype: DTYPE_NAMES.get(dtype), shape, data_offsets: [begin, end] })
  }
  const text = Buffer.from(`{${fields.join(',')}}`)
  const padded = Math.ceil((LENGTH_BYTES + text.length) / ALIGNMENT) * ALIGNMENT
  if (padded - LENGTH_BYTES > MAX_HEADER_BYTES)
    throw new FormatError(
      `cannot write ${path}: its header needs ${text.length} bytes, the format allows ${MAX_HEADER_BYTES}`,
    )
  const header = Buffer.alloc(padded, ' ')
  header.writeBigUInt64LE(BigInt(padded - LENGTH_BYTES), 0)
  text.copy(header, LENGTH_BYTES)
  return header
}

function checkMetadata(path: string, metadata: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  for (const [key, text] of Object.entries(metadata))
    if (typeof text !== 'string' || UNPAIRED.test(key) || UNPAIRED.test(text))
      throw new FormatError(`cannot write ${path}: metadata ${quoted(key)} must be a string of well-formed Unicode`)
  return metadata
}
