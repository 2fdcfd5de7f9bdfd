// Writes GGUF files, version 3, tensor by tensor: of the numbers no more than one tensor is in memory.
import { call, FormatError, noGrad, replaceFile, scope, type Tensor, type Write } from '@hearth/torch'
import { bytesOf, tensorTypes, type WritableType } from './tensor-types.js'
import { valueTypes, type ItemType, type Scalar, type TypedValue } from './values.js'

/** A tensor to be written. */
export interface GgufTensor {
  name: string
  /** Outermost first. */
  shape: readonly number[]
  type: WritableType
  /** Its numbers; freed after they are written. */
  read: () => Tensor
}

const ALIGNMENT = 32
const padding = (length: number): number => -length & (ALIGNMENT - 1)

/** Appends to a buffer that grows. */
class Bytes {
  #parts: Uint8Array[] = []
  length = 0

  add(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.length += bytes.length
  }

  #number(size: number, put: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(size))
    put(view)
    this.add(new Uint8Array(view.buffer))
  }

  uint32 = (value: number): void => this.#number(4, (view) => view.setUint32(0, value, true))
  uint64 = (value: number | bigint): void => this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true))

  string(text: string): void {
    const bytes = Buffer.from(text)
    this.uint64(bytes.length)
    this.add(bytes)
  }

  scalar(type: ItemType, value: Scalar): void {
    const number = Number(value)
    const wide = () => BigInt(value)
    const put: Record<ItemType, () => void> = {
      uint8: () => this.#number(1, (view) => view.setUint8(0, number)),
      int8: () => this.#number(1, (view) => view.setInt8(0, number)),
      uint16: () => this.#number(2, (view) => view.setUint16(0, number, true)),
      int16: () => this.#number(2, (view) => view.setInt16(0, number, true)),
      uint32: () => this.uint32(number),
      int32: () => this.#number(4, (view) => view.setInt32(0, number, true)),
      float32: () => this.#number(4, (view) => view.setFloat32(0, number, true)),
      bool: () => this.#number(1, (view) => view.setUint8(0, value === true ? 1 : 0)),
      string: () => this.string(String(value)),
      uint64: () => this.#number(8, (view) => view.setBigUint64(0, wide(), true)),
      int64: () => this.#number(8, (view) => view.setBigInt64(0, wide(), true)),
      float64: () => this.#number(8, (view) => view.setFloat64(0, number, true)),
    }
    put[type]()
  }

  value(value: TypedValue): void {
    this.uint32(valueTypes.indexOf(value.type))
    if (value.type !== 'array') {
      this.scalar(value.type, value.value)
      return
    }
    this.uint32(valueTypes.indexOf(value.of))
    this.uint64(value.items.length)
    for (const item of value.items) this.scalar(value.of, item)
  }

  toArray = (): Uint8Array => Buffer.concat(this.#parts)
}

/** The beginning of a file, up to its tensors' bytes. */
function headerOf(
  path: string,
  metadata: Readonly<Record<string, TypedValue>>,
  tensors: readonly GgufTensor[],
): Uint8Array {
  const header = new Bytes()
  header.add(Buffer.from('GGUF'))
  header.uint32(3)
  header.uint64(tensors.length)
  const keys = Object.entries(metadata)
  header.uint64(keys.length)
  for (const [key, value] of keys) {
    header.string(key)
    header.value(value)
  }
  let offset = 0
  for (const { name, shape, type } of tensors) {
    if (Buffer.byteLength(name) >= 64)
      throw new FormatError(`cannot write ${path}: the name ${name} is longer than GGUF allows`)
    header.string(name)
    header.uint32(shape.length)
    for (const size of [...shape].reverse()) header.uint64(size)
    header.uint32(tensorTypes[type].id)
    header.uint64(offset)
    const bytes = bytesOf(type, elementsOf(shape))
    offset += bytes + padding(bytes)
  }
  header.add(new Uint8Array(padding(header.length)))
  return header.toArray()
}

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)

/**
 * Writes a file that replaces `path` once all of it is on disk.
 * @throws FormatError when a tensor has another shape than it said
 * @throws HearthError when the disk refuses; nothing is left behind
 */
export function writeGguf(
  path: string,
  metadata: Readonly<Record<string, TypedValue>>,
  tensors: readonly GgufTensor[],
): void {
  replaceFile(path, (write) => {
    write(headerOf(path, metadata, tensors))
    for (const tensor of tensors) noGrad(() => scope(() => writeTensor(path, tensor, write)))
  })
}

/** Numbers that are encoded at once: so of a large tensor the file's bytes need no second copy of all of it. */
const PIECE = 2 ** 24

function writeTensor(path: string, { name, shape, type, read }: GgufTensor, write: Write): void {
  const numbers = read()
  if (numbers.shape.join() !== shape.join())
    throw new FormatError(
      `cannot write ${path}: ${name} is [${numbers.shape.join(', ')}], not [${shape.join(', ')}] as was said`,
    )
  const flat = numbers.to({ device: 'cpu' }).contiguous().view([-1])
  for (let start = 0; start < flat.numel; start += PIECE)
    scope(() => {
      const piece = flat.slice({ start, end: Math.min(start + PIECE, flat.numel) })
      const { dtype } = tensorTypes[type]
      const encoded =
        dtype === undefined ? (call('hearth::encode_blocks', piece.to('float32'), type) as Tensor) : piece.to(dtype)
      const data = encoded.data()
      write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    })
  write(new Uint8Array(padding(bytesOf(type, flat.numel))))
}
