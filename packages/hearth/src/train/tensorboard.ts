// TensorBoard event files: https://github.com/tensorflow/tensorboard, written so that `tensorboard --logdir runs` shows
// the curves of every run. A file is a sequence of TFRecords, each holding one protobuf Event. Scalars only.
import { hostname } from 'node:os'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { AppendFile } from './metrics-append-file.js'

export interface EventFileOptions {
  /** Steps after this one that earlier files hold are to be forgotten: the run goes on from here. 0 for a new run. */
  afterStep: number
  /** Earlier files hold such steps for certain. */
  goesBack?: boolean
  /** Told once when events cannot be written; they are kept and tried again. */
  onProblem: (error: Error) => void
}

/** Writes one event file. A run has one for each time it was started; TensorBoard shows them as one curve. */
export class EventFile {
  readonly #file: AppendFile
  static #opened = 0

  /**
   * @param folder where event files are kept; made when it is not there
   * @throws the system's error when the file cannot be opened
   */
  constructor(folder: string, { afterStep, goesBack = afterStep > 0, onProblem }: EventFileOptions) {
    mkdirSync(folder, { recursive: true })
    const now = new Date()
    const seconds = String(Math.floor(now.getTime() / 1000)).padStart(10, '0')
    const name = `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${EventFile.#opened++}`
    this.#file = new AppendFile(join(folder, name), onProblem)
    this.#append(encodeEvent(now, 0, (event) => event.tag(3, WireType.LengthDelimited).string('brain.Event:2')))
    if (goesBack) this.#append(encodeRestart(now, afterStep + 1))
  }

  get path(): string {
    return this.#file.path
  }

  /** Adds a point to the curve of each name. */
  scalars(step: number, values: Readonly<Record<string, number>>, time = new Date()): void {
    this.#append(encodeScalars(time, step, values))
  }

  /** Brings the events to disk. */
  sync(): void {
    this.#file.sync()
  }

  close(): void {
    this.#file.close()
  }

  #append(event: Uint8Array): void {
    this.#file.append(frameRecord(event))
  }
}

// Field numbers are those of tensorflow/core/util/event.proto and framework/summary.proto.

/** Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog = 7 } */
function encodeEvent(time: Date, step: number, what: (event: BinaryWriter) => BinaryWriter): Uint8Array {
  const event = new BinaryWriter().tag(1, WireType.Bit64).double(time.getTime() / 1000)
  return what(event.tag(2, WireType.Varint).int64(step)).finish()
}

/** Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 } */
function encodeScalars(time: Date, step: number, values: Readonly<Record<string, number>>): Uint8Array {
  return encodeEvent(time, step, (event) => {
    const summary = event.tag(5, WireType.LengthDelimited).fork()
    for (const [tag, value] of Object.entries(values)) {
      const field = summary.tag(1, WireType.LengthDelimited).fork()
      field.tag(1, WireType.LengthDelimited).string(tag).tag(2, WireType.Bit32).float(value).join()
    }
    return summary.join()
  })
}

/** SessionLog { SessionStatus status = 1; START = 1 }: TensorBoard drops what it holds from this step on. */
function encodeRestart(time: Date, step: number): Uint8Array {
  const start = (log: BinaryWriter) => log.tag(1, WireType.Varint).int32(1).join()
  return encodeEvent(time, step, (event) => start(event.tag(7, WireType.LengthDelimited).fork()))
}

/** TFRecord: uint64 length, masked CRC of the length, the data, masked CRC of the data; little-endian. */
function frameRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(8 + 4 + data.length + 4)
  record.writeBigUInt64LE(BigInt(data.length), 0)
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8)
  record.set(data, 12)
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length)
  return record
}

// The Castagnoli polynomial, bits reversed (RFC 3720, B.4).
const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** CRC-32C. zlib has the other polynomial, and a package for this one would bring eight others. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = CRC32C_TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

// A CRC stored beside its data is masked, so that the CRC of both together means something.
function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
