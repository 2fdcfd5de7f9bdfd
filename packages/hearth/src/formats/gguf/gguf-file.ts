/**
 * A GGUF file (versions 2 and 3, little-endian) that is open: its metadata, and its tensors over the file's own pages, or
 * dequantised. Every bound is checked before anything is used. Source: ggml's docs/gguf.md. Not here: what keys and names
 * mean (architectures.ts, tokenizer.ts).
 */
import { call, dtypeBytes, FormatError, MappedFile, scope, type DType, type Tensor } from '@hearth/torch'
import { Cursor } from './cursor.js'
import { bytesOf, tensorTypeOf, tensorTypes, type TensorType } from './tensor-types.js'
import { valueBytes, valueTypes, type ItemType, type Scalar } from './values.js'

export interface GgufEntry {
  type: TensorType
  /** Outermost first, as libtorch counts: the reverse of the file's order. */
  shape: readonly number[]
  byteOffset: number
  nbytes: number
}

/** A list in the metadata; its items are read when they are asked for. */
export interface GgufArray {
  of: ItemType
  length: number
  items(): Scalar[]
}

const MAGIC = 0x46554747 // 'GGUF'
const MAX_DIMENSIONS = 4
const MAX_NAME = 64
/** Bytes that an entry takes at least. */
const LEAST_KEY = 8 + 4 + 1
const LEAST_TENSOR = 8 + 4 + 4 + 8

export class GgufFile {
  readonly path: string
  readonly version: number
  readonly metadata: ReadonlyMap<string, Scalar | GgufArray>
  readonly entries: ReadonlyMap<string, GgufEntry>
  readonly #file: MappedFile

  /** @internal Use readGguf(). */
  constructor(file: MappedFile) {
    this.path = file.path
    this.#file = file
    const cursor = new Cursor(file)
    this.version = readVersion(cursor)
    const tensors = cursor.count('the number of tensors', LEAST_TENSOR)
    const keys = cursor.count('the number of keys', LEAST_KEY)
    this.metadata = readMetadata(file, cursor, keys)
    this.entries = readEntries(cursor, tensors, this.metadata, file.size)
  }

  /**
   * The tensor of that name: over the file's pages where it is F32, F16 or BF16, else dequantised into float32.
   * @throws FormatError when there is none
   */
  tensor(name: string): Tensor {
    const { type, shape, byteOffset, nbytes } = this.#entry(name)
    const { dtype } = tensorTypes[type]
    if (dtype !== undefined) return this.#file.tensor(byteOffset, shape, dtype)
    return scope(() => {
      const blocks = this.#file.tensor(byteOffset, [nbytes], 'uint8')
      return (call('hearth::decode_blocks', blocks, type) as Tensor).view(shape)
    })
  }

  /** The dtype that tensor() gives. */
  dtypeOf(name: string): DType {
    return tensorTypes[this.#entry(name).type].dtype ?? 'float32'
  }

  /** Gives back the memory of what was read so far; see MappedFile. */
  releasePages(): void {
    this.#file.releasePages()
  }

  /** Gives up the file. Tensors that were taken from it keep their pages. */
  close(): void {
    this.#file.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #entry(name: string): GgufEntry {
    const entry = this.entries.get(name)
    if (entry === undefined) throw new FormatError(`${this.path} has no tensor ${JSON.stringify(name)}`)
    return entry
  }
}

function readVersion(cursor: Cursor): number {
  const magic = cursor.uint32()
  if (magic !== MAGIC) throw cursor.fail('the first bytes', `0x${magic.toString(16)}`, "'GGUF'")
  const version = cursor.uint32()
  if (version === 2 || version === 3) return version
  const bigEndian = (version & 0xffff) === 0
  throw cursor.fail('version', bigEndian ? 'big-endian numbers' : `${version}`, '2 or 3, little-endian')
}

function readMetadata(file: MappedFile, cursor: Cursor, count: number): Map<string, Scalar | GgufArray> {
  const metadata = new Map<string, Scalar | GgufArray>()
  for (let i = 0; i < count; i++) {
    const key = cursor.string()
    if (metadata.has(key)) throw cursor.fail('metadata', `the key ${JSON.stringify(key)} twice`, 'each key once')
    const type = valueTypes[cursor.uint32()]
    if (type === undefined)
      throw cursor.fail(`metadata ${JSON.stringify(key)}`, 'a type that is unknown', `one of ${valueTypes.join(', ')}`)
    metadata.set(key, type === 'array' ? readArray(file, cursor, key) : cursor.scalar(type))
  }
  return metadata
}

function readArray(file: MappedFile, cursor: Cursor, key: string): GgufArray {
  const of = valueTypes[cursor.uint32()]
  if (of === undefined || of === 'array')
    throw cursor.fail(`metadata ${JSON.stringify(key)}`, 'an array of arrays', 'an array of plain values')
  const length = cursor.count(`the length of ${JSON.stringify(key)}`, of === 'string' ? 8 : valueBytes[of])
  const start = cursor.at
  if (of === 'string') for (let i = 0; i < length; i++) cursor.skipString()
  else cursor.at += length * valueBytes[of]
  const items = () => {
    const again = new Cursor(file, start)
    return Array.from({ length }, () => again.scalar(of))
  }
  return { of, length, items }
}

interface Described {
  name: string
  type: TensorType
  shape: readonly number[]
  nbytes: number
  offset: number | bigint
}

function readEntries(
  cursor: Cursor,
  count: number,
  metadata: ReadonlyMap<string, Scalar | GgufArray>,
  size: number,
): Map<string, GgufEntry> {
  const described = Array.from({ length: count }, () => readTensor(cursor))
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 8 || alignment > 2 ** 20 || !Number.isInteger(Math.log2(alignment)))
    throw cursor.fail('general.alignment', JSON.stringify(alignment), 'a power of two from 8 to 2^20')
  const align = (offset: number) => Math.ceil(offset / alignment) * alignment
  const entries = new Map<string, GgufEntry>()
  const start = align(cursor.at)
  let end = 0
  for (const { name, type, shape, nbytes, offset } of described) {
    const where = `tensor ${JSON.stringify(name)}`
    if (entries.has(name)) throw cursor.fail(where, 'its name twice', 'each name once')
    if (offset !== end) throw cursor.fail(where, `an offset of ${offset}`, `${end}: no gap, no overlap`)
    if (start + end + nbytes > size)
      throw cursor.fail(where, `${nbytes} bytes at ${start + end}`, `bytes within the file's ${size}`)
    entries.set(name, { type, shape, byteOffset: start + end, nbytes })
    end = align(end + nbytes)
  }
  return entries
}

function readTensor(cursor: Cursor): Described {
  const name = cursor.string()
  const where = `tensor ${JSON.stringify(name.slice(0, 2 * MAX_NAME))}`
  if (name.length >= MAX_NAME) throw cursor.fail(where, `a name of ${name.length} characters`, `fewer than ${MAX_NAME}`)
  const dimensions = cursor.uint32()
  if (dimensions > MAX_DIMENSIONS) throw cursor.fail(where, `${dimensions} dimensions`, `at most ${MAX_DIMENSIONS}`)
  const sizes = Array.from({ length: dimensions }, () => cursor.number('uint64') as number | bigint)
  const id = cursor.uint32()
  const type = tensorTypeOf(id)
  if (type === undefined)
    throw cursor.fail(where, `type ${id}`, `one that is read: ${Object.keys(tensorTypes).join(', ')}`)
  let elements = 1
  for (const one of sizes) elements *= typeof one === 'number' && one > 0 ? one : NaN
  const nbytes = bytesOf(type, elements)
  if (!Number.isSafeInteger(nbytes))
    throw cursor.fail(where, `sizes [${sizes.join(', ')}]`, 'sizes above 0 whose product is below 2^53 bytes')
  const row = Number(sizes[0] ?? 1)
  if (row % tensorTypes[type].elements !== 0)
    throw cursor.fail(where, `rows of ${row} in ${type}`, `a multiple of ${tensorTypes[type].elements}`)
  return {
    name,
    type,
    shape: (sizes as number[]).reverse(),
    nbytes,
    offset: cursor.number('uint64') as number | bigint,
  }
}

/**
 * Opens a GGUF file of any size.
 * @throws FormatError when the file breaks any rule of the format
 * @throws HearthError when it cannot be read
 * @example
 * using file = readGguf('pythia-160m.Q4_K.gguf')
 * file.metadata.get('general.architecture') // 'gptneox'
 */
export function readGguf(path: string): GgufFile {
  const file = MappedFile.open(path)
  try {
    return new GgufFile(file)
  } catch (error) {
    file.close()
    throw error
  }
}

/** Bytes of the numbers of a tensor once it is read. */
export const readBytes = (file: GgufFile, name: string): number =>
  file.entries.get(name)!.shape.reduce((product, size) => product * size, 1) * dtypeBytes(file.dtypeOf(name))
