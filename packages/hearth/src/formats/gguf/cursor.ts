// Reads the little-endian numbers and strings of a GGUF file one after the other, never beyond its end.
import { FormatError, type MappedFile } from '@hearth/torch'
import type { ItemType, Scalar } from './values.js'

/** Numbers are read through windows of this size: a view of a whole file of more than 4 GiB is not to be had. */
const WINDOW = 2 ** 20
const decoder = new TextDecoder()

export class Cursor {
  readonly #file: MappedFile
  #window: DataView = new DataView(new ArrayBuffer(0))
  #start = 0
  /** Of the next byte. */
  at: number

  constructor(file: MappedFile, at = 0) {
    this.#file = file
    this.at = at
  }

  get left(): number {
    return this.#file.size - this.at
  }

  fail(what: string, got: string, expected: string): FormatError {
    return new FormatError(`${this.#file.path} is not a valid GGUF file: ${what}: got ${got}, expected ${expected}`, {
      remedy: 'fetch the file again from its source, or convert it again',
    })
  }

  /** Moves on by so many bytes; returns a view in which they begin at the offset. */
  #take(count: number): [view: DataView, offset: number] {
    if (count > this.left) throw this.fail(`byte ${this.at}`, `${this.left} bytes more`, `${count} at least`)
    if (this.at < this.#start || this.at + count > this.#start + this.#window.byteLength) {
      const bytes = this.#file.bytes(this.at, Math.min(Math.max(count, WINDOW), this.left))
      this.#window = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      this.#start = this.at
    }
    const offset = this.at - this.#start
    this.at += count
    return [this.#window, offset]
  }

  scalar(type: ItemType): Scalar {
    if (type === 'string') return this.string()
    return this.number(type)
  }

  number(type: Exclude<ItemType, 'string'>): number | bigint | boolean {
    switch (type) {
      case 'uint8':
        return this.#read(1, 'getUint8')
      case 'int8':
        return this.#read(1, 'getInt8')
      case 'uint16':
        return this.#read(2, 'getUint16')
      case 'int16':
        return this.#read(2, 'getInt16')
      case 'uint32':
        return this.#read(4, 'getUint32')
      case 'int32':
        return this.#read(4, 'getInt32')
      case 'float32':
        return this.#read(4, 'getFloat32')
      case 'float64':
        return this.#read(8, 'getFloat64')
      case 'uint64':
        return this.#wide('getBigUint64')
      case 'int64':
        return this.#wide('getBigInt64')
      case 'bool':
        return this.#bool()
    }
  }

  #read(
    bytes: number,
    method: 'getUint8' | 'getInt8' | 'getUint16' | 'getInt16' | 'getUint32' | 'getInt32' | 'getFloat32' | 'getFloat64',
  ): number {
    const [view, offset] = this.#take(bytes)
    return view[method](offset, true)
  }

  #wide(method: 'getBigUint64' | 'getBigInt64'): number | bigint {
    const [view, offset] = this.#take(8)
    const value = view[method](offset, true)
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }

  #bool(): boolean {
    const byte = this.#read(1, 'getUint8')
    if (byte > 1) throw this.fail(`byte ${this.at - 1}`, `${byte} as a truth value`, '0 or 1')
    return byte === 1
  }

  uint32 = (): number => this.number('uint32') as number

  /** A count of things of which each takes at least so many bytes of what is left. */
  count(what: string, leastBytes: number): number {
    const value = this.number('uint64')
    if (typeof value !== 'number' || value > this.left / leastBytes)
      throw this.fail(what, String(value), `at most ${Math.floor(this.left / leastBytes)}, for which there is room`)
    return value
  }

  string(): string {
    const length = this.count('the length of a string', 1)
    const [view, offset] = this.#take(length)
    return decoder.decode(new Uint8Array(view.buffer, view.byteOffset + offset, length))
  }

  /** Passes over a string. */
  skipString(): void {
    const length = this.count('the length of a string', 1)
    this.at += length
  }
}
