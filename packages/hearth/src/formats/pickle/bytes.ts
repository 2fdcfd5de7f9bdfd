// Reads the arguments of pickle's opcodes, never beyond the end of the stream.
import type { Refuse } from './values.js'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class PickleBytes {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #refuse: Refuse
  /** Of the next byte. */
  at: number

  constructor(bytes: Uint8Array, start: number, refuse: Refuse) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#refuse = refuse
    this.at = start
  }

  /** Moves on by so many bytes; returns where they began. */
  #take(count: number): number {
    const start = this.at
    if (!(count >= 0 && count <= this.#bytes.length - start))
      throw this.#refuse(`${this.#bytes.length - start} bytes more`, `the ${count} that an opcode needs`)
    this.at += count
    return start
  }

  byte = (): number => this.#bytes[this.#take(1)]!
  uint16 = (): number => this.#view.getUint16(this.#take(2), true)
  int32 = (): number => this.#view.getInt32(this.#take(4), true)
  uint32 = (): number => this.#view.getUint32(this.#take(4), true)
  /** Pickle's one number that is big-endian. */
  float64 = (): number => this.#view.getFloat64(this.#take(8), false)

  uint64(): number {
    const value = this.#view.getBigUint64(this.#take(8), true)
    return Number(value) // only lengths have 64 bits, and none that is not exact passes #take
  }

  /** A little-endian two's complement number of so many bytes. */
  long(count: number): number | bigint {
    const start = this.#take(count)
    let value = 0n
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i]!)
    const signed = BigInt.asIntN(8 * count, value)
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed
  }

  text(count: number): string {
    const start = this.#take(count)
    try {
      return decoder.decode(this.#bytes.subarray(start, start + count))
    } catch {
      throw this.#refuse('a text of bytes that are not UTF-8', 'UTF-8')
    }
  }

  /** The text up to the end of the line. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at)
    if (end < 0) throw this.#refuse('no end of the line', 'a line')
    const text = this.text(end - this.at)
    this.at++
    return text
  }
}
