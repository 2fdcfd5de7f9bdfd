import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { crc32c, EventFile } from './tensorboard.js'

let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'hearth-events-'))))
afterEach(() => rmSync(dir, { recursive: true }))
const onProblem = () => expect.unreachable('the disk is fine')

// As tensorflow/core/lib/io/record_writer.h has it.
const unmask = (masked: number) => {
  const rotated = (masked - 0xa282ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

/** The data of each TFRecord, its checksums checked. */
function readRecords(path: string): Uint8Array[] {
  const bytes = readFileSync(path)
  const records: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at))
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(crc32c(bytes.subarray(at, at + 8)))
    const data = bytes.subarray(at + 12, at + 12 + length)
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(crc32c(data))
    records.push(data)
    at += 16 + length
  }
  return records
}

/** A message as field number → values: numbers for fixed and varint fields, bytes for the others. */
function fieldsOf(data: Uint8Array): Record<number, (number | Uint8Array)[]> {
  const fields: Record<number, (number | Uint8Array)[]> = {}
  for (const reader = new BinaryReader(data); reader.pos < reader.len;) {
    const [number, wire] = reader.tag()
    const value = [
      () => Number(reader.int64()),
      () => reader.double(),
      () => reader.bytes(),
      undefined,
      undefined,
      () => reader.float(),
    ][wire]!()
    ;(fields[number] ??= []).push(value)
  }
  return fields
}

const text = (value: number | Uint8Array | undefined) => Buffer.from(value as Uint8Array).toString()
const bytes = (value: number | Uint8Array | undefined) => value as Uint8Array

describe('an event file', () => {
  test('holds each scalar with its name, step and time, in the messages that TensorBoard reads', () => {
    const file = new EventFile(join(dir, 'tensorboard'), { afterStep: 0, onProblem })
    const time = new Date(1_767_225_600_500)
    file.scalars(420, { 'loss/train': 1.5, 'speed/tokens_per_second': NaN }, time)
    file.scalars(2 ** 40, { 'loss/train': 0.25 }, time)
    file.close()
    const [version, first, second] = readRecords(file.path).map(fieldsOf)
    expect(text(version![3]![0])).toBe('brain.Event:2')
    expect(first![1]).toEqual([1_767_225_600.5])
    expect([first![2], second![2]]).toEqual([[420], [2 ** 40]])
    const values = fieldsOf(bytes(first![5]![0]))[1]!.map((value) => fieldsOf(bytes(value)))
    expect(values.map((value) => text(value[1]![0]))).toEqual(['loss/train', 'speed/tokens_per_second'])
    expect(values.map((value) => value[2])).toEqual([[1.5], [NaN]])
  })

  test('tells TensorBoard to forget the steps that are trained again', () => {
    const file = new EventFile(dir, { afterStep: 41, onProblem })
    file.close()
    const [, restart] = readRecords(file.path).map(fieldsOf)
    expect(restart![2]).toEqual([42])
    expect(fieldsOf(bytes(restart![7]![0]))[1]).toEqual([1])
  })

  test('has a name of its own that TensorBoard recognises', () => {
    const files = [1, 2].map(() => new EventFile(dir, { afterStep: 0, onProblem }))
    files.forEach((file) => file.close())
    expect(new Set(files.map(({ path }) => path)).size).toBe(2)
    for (const { path } of files) expect(basename(path)).toMatch(/^events\.out\.tfevents\.\d{10}\./)
  })
})

// RFC 3720, B.4, and the check value of the CRC catalogue.
test.each([
  [Buffer.from('123456789'), 0xe3069283],
  [Buffer.alloc(32), 0x8a9136aa],
  [Buffer.alloc(32, 0xff), 0x62a8ab43],
  [Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
])('crc32c has the published values', (data, expected) => {
  expect(crc32c(data)).toBe(expected)
})
