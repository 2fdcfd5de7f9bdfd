// Where the members of an archive lie that torch.save wrote: a zip file whose members are stored as they are.
// Source: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3 (zip64). Not here: compression, encryption, several disks.
import { FormatError, type MappedFile } from '@hearth/torch'

/** A member's bytes. */
export interface Member {
  offset: number
  size: number
}

const END = { signature: 0x06054b50, bytes: 22 }
const END_LOCATOR_64 = { signature: 0x07064b50, bytes: 20 }
const END_64 = { signature: 0x06064b50, bytes: 56 }
const CENTRAL = { signature: 0x02014b50, bytes: 46 }
const LOCAL = { signature: 0x04034b50, bytes: 30 }
/** A number that stands in the zip64 field instead. */
const ELSEWHERE = 0xffffffff
const MAX_DIRECTORY = 32 * 2 ** 20

class ZipReader {
  readonly #file: MappedFile

  constructor(file: MappedFile) {
    this.#file = file
  }

  fail(got: string, expected: string): FormatError {
    return new FormatError(`${this.#file.path} is not a valid PyTorch archive: got ${got}, expected ${expected}`, {
      remedy: 'fetch the file again from its source',
    })
  }

  view(what: string, offset: number, length: number): DataView {
    const { size } = this.#file
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > size - length)
      throw this.fail(`${what} at ${offset}`, `${length} bytes within the file's ${size}`)
    const bytes = this.#file.bytes(offset, length)
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  signed(what: string, { signature, bytes }: { signature: number; bytes: number }, offset: number): DataView {
    const view = this.view(what, offset, bytes)
    const found = view.getUint32(0, true)
    if (found !== signature) throw this.fail(`0x${found.toString(16)} at ${offset}`, `the signature of ${what}`)
    return view
  }

  /** The directory at the end of the file: where it begins, its bytes, its members. */
  directory(): { offset: number; size: number; count: number } {
    const { size } = this.#file
    const start = Math.max(0, size - END.bytes - 0xffff)
    const tail = this.view('the end of the archive', start, size - start)
    let at = tail.byteLength - END.bytes
    // The comment behind it reaches exactly to the end of the file.
    while (
      at >= 0 &&
      !(
        tail.getUint32(at, true) === END.signature && tail.getUint16(at + 20, true) === tail.byteLength - at - END.bytes
      )
    )
      at--
    if (at < 0) throw this.fail('no directory at its end', 'a whole zip file: this one was cut short, or is none')
    const found = {
      count: tail.getUint16(at + 10, true),
      size: tail.getUint32(at + 12, true),
      offset: tail.getUint32(at + 16, true),
    }
    const wide = found.count === 0xffff || found.size === ELSEWHERE || found.offset === ELSEWHERE
    return wide ? this.#directory64(start + at) : found
  }

  #directory64(end: number): { offset: number; size: number; count: number } {
    const locator = this.signed('the zip64 locator', END_LOCATOR_64, end - END_LOCATOR_64.bytes)
    const wide = this.signed('the zip64 end', END_64, Number(locator.getBigUint64(8, true)))
    const [count, size, offset] = [32, 40, 48].map((at) => Number(wide.getBigUint64(at, true))) as [
      number,
      number,
      number,
    ]
    return { offset, size, count }
  }

  /** One entry of the directory, and where the next begins. */
  entry(directory: DataView, at: number): { name: string; member: Member; next: number } {
    if (at + CENTRAL.bytes > directory.byteLength || directory.getUint32(at, true) !== CENTRAL.signature)
      throw this.fail(`no entry at byte ${at} of the directory`, 'as many as it says')
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => directory.getUint16(at + o, true)) as [
      number,
      number,
      number,
    ]
    const next = at + CENTRAL.bytes + nameLength + extraLength + commentLength
    if (next > directory.byteLength) throw this.fail('an entry that is cut short', 'one within the directory')
    const nameAt = directory.byteOffset + at + CENTRAL.bytes
    const name = Buffer.from(directory.buffer, nameAt, nameLength).toString()
    const method = directory.getUint16(at + 10, true)
    if (method !== 0)
      throw this.fail(`${JSON.stringify(name)} compressed by method ${method}`, 'members stored as they are')
    const [stored, size, local] = [20, 24, 42].map((o) => directory.getUint32(at + o, true)) as [number, number, number]
    const extra = new DataView(directory.buffer, nameAt + nameLength, extraLength)
    const wide = this.#wide(extra, { size, stored, local })
    if (wide.size !== wide.stored)
      throw this.fail(`${JSON.stringify(name)} with two sizes`, 'one: it is not compressed')
    return { name, member: { offset: this.#begin(name, wide.local, wide.size), size: wide.size }, next }
  }

  /** Numbers that are too large for 32 bits stand in an extra field, in this order. */
  #wide(extra: DataView, fields: { size: number; stored: number; local: number }) {
    const result = { ...fields }
    for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
      if (extra.getUint16(at, true) !== 1) continue
      let from = at + 4
      for (const key of ['size', 'stored', 'local'] as const) {
        if (fields[key] !== ELSEWHERE) continue
        if (from + 8 > extra.byteLength) throw this.fail('a zip64 field that is cut short', 'all its numbers')
        result[key] = Number(extra.getBigUint64(from, true))
        from += 8
      }
    }
    return result
  }

  /** Behind its own header, which repeats the name. */
  #begin(name: string, local: number, size: number): number {
    const header = this.signed(`the header of ${JSON.stringify(name)}`, LOCAL, local)
    const offset = local + LOCAL.bytes + header.getUint16(26, true) + header.getUint16(28, true)
    this.view(JSON.stringify(name), offset, Math.min(size, 0xffffffff))
    if (size > this.#file.size - offset)
      throw this.fail(`${JSON.stringify(name)} of ${size} bytes`, 'bytes within the file')
    return offset
  }
}

/**
 * The members of an archive by their names.
 * @throws FormatError when it is none, is damaged or compressed
 */
export function readZip(file: MappedFile): ReadonlyMap<string, Member> {
  const zip = new ZipReader(file)
  const { offset, size, count } = zip.directory()
  if (size > MAX_DIRECTORY) throw zip.fail(`a directory of ${size} bytes`, `at most ${MAX_DIRECTORY}`)
  const directory = zip.view('the directory', offset, size)
  const members = new Map<string, Member>()
  for (let at = 0, i = 0; i < count; i++) {
    const { name, member, next } = zip.entry(directory, at)
    if (members.has(name)) throw zip.fail(`${JSON.stringify(name)} twice`, 'each name once')
    members.set(name, member)
    at = next
  }
  return members
}
