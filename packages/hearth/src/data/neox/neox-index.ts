/**
 * The index of GPT-NeoX's and Megatron's data: `PREFIX.idx` says where each sequence lies in `PREFIX.bin`, and which of
 * them begin documents. Every field is checked before anything is used.
 * Layout: `MMIDIDX\0\0`, version 1 (u64), dtype (u8), sequences (u64), document boundaries (u64), then for each sequence its
 * length (i32), its byte offset (i64), and the boundaries (i64), the first 0 and the last the number of sequences.
 * Source: megatron/data/indexed_dataset.py of GPT-NeoX.
 */
import { FormatError, HearthError, MappedFile } from '@hearth/torch'

/** The widths of tokens by their codes; floating-point codes hold no tokens. */
const DTYPES: Record<number, { name: string; bytes: number } | undefined> = {
  1: { name: 'uint8', bytes: 1 },
  2: { name: 'int8', bytes: 1 },
  3: { name: 'int16', bytes: 2 },
  4: { name: 'int32', bytes: 4 },
  5: { name: 'int64', bytes: 8 },
  8: { name: 'uint16', bytes: 2 },
}
const MAGIC = 'MMIDIDX\0\0'
export const NEOX_HEADER = 34

export interface NeoxIndex {
  /** Bytes of a token. */
  width: number
  signed: boolean
  sequences: number
  tokens: number
  documents: number
  /** Where a sequence begins in the file of tokens, in bytes, and how many tokens it has. */
  sequence(index: number): { offset: number; length: number }
  /** The first sequence of a document; of the one after the last, the number of sequences. */
  firstOf(document: number): number
  close(): void
}

/**
 * @param path of the `.idx`
 * @param binBytes size of the `.bin`
 * @throws FormatError on the first field that cannot be
 */
export function readNeoxIndex(path: string, binBytes: number): NeoxIndex {
  const file = MappedFile.open(path)
  try {
    return checkedIndex(file, binBytes)
  } catch (error) {
    file.close()
    throw error
  }
}

/** Gives a view of a part of the file in which its fields are read. */
const viewOf = (file: MappedFile, offset: number, length: number): DataView => {
  const bytes = file.bytes(offset, length)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Fields that are read through one view: that of a file of more than 4 GiB cannot be had. */
const PART = 2 ** 20

class Column {
  readonly #file: MappedFile
  readonly #start: number
  readonly #width: 4 | 8
  #view: DataView | undefined
  #part = -1

  constructor(file: MappedFile, start: number, width: 4 | 8) {
    this.#file = file
    this.#start = start
    this.#width = width
  }

  at(index: number): number {
    const perPart = PART / this.#width
    const part = Math.floor(index / perPart)
    if (part !== this.#part) {
      const offset = this.#start + part * PART
      this.#view = viewOf(this.#file, offset, Math.min(PART, this.#file.size - offset))
      this.#part = part
    }
    const at = (index % perPart) * this.#width
    return this.#width === 4 ? this.#view!.getInt32(at, true) : Number(this.#view!.getBigInt64(at, true))
  }
}

type Fail = (what: string, got: string, expected: string) => FormatError

function checkedIndex(file: MappedFile, binBytes: number): NeoxIndex {
  const fail: Fail = (what, got, expected) =>
    new FormatError(`${file.path} is not a valid index of tokens: ${what}: got ${got}, expected ${expected}`, {
      remedy: 'make it again with the library that made it',
    })
  const { dtype, sequences, boundaries } = readHeader(file, fail)
  const lengths = new Column(file, NEOX_HEADER, 4)
  const offsets = new Column(file, NEOX_HEADER + 4 * sequences, 8)
  const documents = new Column(file, NEOX_HEADER + 12 * sequences, 8)
  let tokens = 0
  for (let i = 0; i < sequences; i++) {
    const [length, offset] = [lengths.at(i), offsets.at(i)]
    const aligned = length >= 0 && offset >= 0 && offset % dtype.bytes === 0
    if (!aligned || offset > binBytes - length * dtype.bytes)
      throw fail(
        `sequence ${i}`,
        `${length} tokens at byte ${offset}`,
        `tokens within the ${binBytes} bytes of its .bin`,
      )
    tokens += length
  }
  checkBoundaries(documents, boundaries, sequences, fail)
  return {
    width: dtype.bytes,
    signed: dtype.name.startsWith('int'),
    sequences,
    tokens,
    documents: boundaries - 1,
    sequence: (index) => ({ offset: offsets.at(index), length: lengths.at(index) }),
    firstOf: (document) => documents.at(document),
    close: () => file.close(),
  }
}

function readHeader(file: MappedFile, fail: Fail) {
  if (file.size < NEOX_HEADER) throw fail('its size', `${file.size} bytes`, `at least ${NEOX_HEADER}`)
  const header = viewOf(file, 0, NEOX_HEADER)
  const magic = Buffer.from(file.bytes(0, 9)).toString('latin1')
  if (magic !== MAGIC) throw fail('the first bytes', JSON.stringify(magic), 'MMIDIDX and two zeros')
  const version = header.getBigUint64(9, true)
  if (version !== 1n) throw fail('version', `${version}`, '1')
  const code = header.getUint8(17)
  const dtype = DTYPES[code]
  if (dtype === undefined)
    throw fail('dtype', `${code}`, `one of ${Object.keys(DTYPES).join(', ')}, which are integers`)
  const [sequences, boundaries] = [Number(header.getBigUint64(18, true)), Number(header.getBigUint64(26, true))]
  const size = NEOX_HEADER + 12 * sequences + 8 * boundaries
  const expected = `${size} for ${sequences} sequences and ${boundaries} boundaries`
  if (size !== file.size) throw fail('its size', `${file.size} bytes`, expected)
  return { dtype, sequences, boundaries }
}

function checkBoundaries(documents: Column, boundaries: number, sequences: number, fail: Fail): void {
  if (boundaries === 0) throw fail('documents', 'no boundaries', 'at least one')
  for (let i = 0, before = 0; i < boundaries; i++) {
    const first = documents.at(i)
    const ends = (i > 0 || first === 0) && (i < boundaries - 1 || first === sequences)
    if (!ends || first < before || first > sequences)
      throw fail(`boundary ${i}`, `${first}`, `boundaries that rise from 0 to ${sequences}`)
    before = first
  }
}

/** Where the pair of a path lies; either of its files or their common beginning may be given. */
export function neoxPaths(path: string): { idx: string; bin: string } {
  const prefix = path.replace(/\.(idx|bin)$/, '')
  return { idx: `${prefix}.idx`, bin: `${prefix}.bin` }
}

/** The header of an index that is written. */
export function neoxHeader(width: 2 | 4, sequences: number, boundaries: number): Uint8Array {
  const header = Buffer.alloc(NEOX_HEADER)
  header.write(MAGIC, 'latin1')
  header.writeBigUInt64LE(1n, 9)
  header.writeUInt8(width === 2 ? 8 : 4, 17)
  header.writeBigUInt64LE(BigInt(sequences), 18)
  header.writeBigUInt64LE(BigInt(boundaries), 26)
  return header
}

export function refuseExisting(paths: readonly string[], exists: (path: string) => boolean): void {
  const there = paths.filter(exists)
  if (there.length > 0)
    throw new HearthError(`${there.join(', ')} ${there.length === 1 ? 'is' : 'are'} there already`, {
      remedy: 'give another name',
    })
}
