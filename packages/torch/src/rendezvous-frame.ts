// The messages between a rendezvous and its clients: a fixed head, then the key and the value. Lengths are checked before
// anything is kept. Nothing here is ever more than text and bytes.
import { FormatError } from './errors.js'

const KINDS = ['set', 'get', 'value', 'refused'] as const

export interface Frame {
  kind: (typeof KINDS)[number]
  /** Which question this is, or answers. */
  id: number
  /** The key; of a refusal, why. */
  key: string
  value: Uint8Array
}

// kind u8, id u32, key length u16, value length u32
const HEAD = 11
const LONGEST_KEY = 1024
const LONGEST_VALUE = 2 ** 20

/** @throws FormatError where the key or the value is too long */
export function encodeFrame({ kind, id, key, value }: Frame): Buffer {
  const name = Buffer.from(key)
  if (name.length > LONGEST_KEY || value.length > LONGEST_VALUE)
    throw new FormatError(`a rendezvous takes keys of ${LONGEST_KEY} bytes and values of ${LONGEST_VALUE}`)
  const head = Buffer.alloc(HEAD)
  head.writeUInt8(KINDS.indexOf(kind), 0)
  head.writeUInt32BE(id, 1)
  head.writeUInt16BE(name.length, 5)
  head.writeUInt32BE(value.length, 7)
  return Buffer.concat([head, name, value])
}

/** Cuts a stream into frames. */
export class FrameReader {
  readonly #take: (frame: Frame) => void
  #kept: Buffer = Buffer.alloc(0)

  constructor(take: (frame: Frame) => void) {
    this.#take = take
  }

  /** @throws FormatError when what came is no frame; the stream cannot be read on then. */
  push(data: Buffer): void {
    this.#kept = this.#kept.length === 0 ? data : Buffer.concat([this.#kept, data])
    while (this.#kept.length >= HEAD) {
      const kind = KINDS[this.#kept.readUInt8(0)]
      const id = this.#kept.readUInt32BE(1)
      const [name, value] = [this.#kept.readUInt16BE(5), this.#kept.readUInt32BE(7)]
      if (kind === undefined || name > LONGEST_KEY || value > LONGEST_VALUE)
        throw new FormatError('a rendezvous was sent what is no message')
      const end = HEAD + name + value
      if (this.#kept.length < end) return
      const frame = this.#kept.subarray(HEAD, end)
      this.#kept = this.#kept.subarray(end)
      this.#take({ kind, id, key: frame.toString('utf8', 0, name), value: Uint8Array.from(frame.subarray(name)) })
    }
  }
}
