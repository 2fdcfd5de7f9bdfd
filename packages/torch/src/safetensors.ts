// Tensors in safetensors files: read through memory without a copy, written tensor by tensor without a second one.
// The rules of the format are in safetensors-header.ts.
import { noGrad } from './autograd.js'
import { dtypeBytes } from './dtype.js'
import { FormatError, HearthError } from './errors.js'
import { MappedFile } from './mapped-file.js'
import { replaceFile, type Write } from './replace-file.js'
import { formatHeader, readHeader, type SafetensorsEntry } from './safetensors-header.js'
import { scope } from './scope.js'
import { Tensor } from './tensor.js'

export type { SafetensorsEntry } from './safetensors-header.js'

/** A safetensors file that is open. Its header was checked whole; its tensors are mapped when they are asked for. */
export class SafetensorsFile {
  readonly path: string
  /** The texts of `__metadata__`; empty when the file has none. */
  readonly metadata: Record<string, string>
  /** What the file holds, in the order of its bytes. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>
  readonly #file: MappedFile

  /** @internal Use readSafetensors(). */
  constructor(file: MappedFile) {
    const { metadata, entries } = readHeader(file.path, file.size, (offset, length) => file.bytes(offset, length))
    this.path = file.path
    this.metadata = metadata
    this.entries = entries
    this.#file = file
  }

  /**
   * The tensor of that name over the file's own pages: nothing is read before it is used. (One that is not aligned to
   * its elements is copied; files written here never have such.) It may be written to, which does not reach the file,
   * and it stays valid after close().
   * @throws HearthError when there is no such tensor
   * @throws FormatError when a BOOL tensor has bytes other than 0 and 1
   */
  tensor(name: string): Tensor {
    const entry = this.entries.get(name)
    if (entry === undefined)
      throw new HearthError(`${this.path} has no tensor ${JSON.stringify(name)}; it has ${this.#listNames()}`)
    if (entry.dtype === 'bool') this.#checkBooleans(name, entry)
    return this.#file.tensor(entry.byteOffset, entry.shape, entry.dtype)
  }

  /** Gives back the memory of pages that were read; see MappedFile. */
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

  // Kernels count and index by such bytes: a 2 would have them write past their memory.
  #checkBooleans(name: string, { byteOffset, nbytes }: SafetensorsEntry): void {
    const bytes = scope(() => (nbytes === 0 ? 0 : this.#file.tensor(byteOffset, [nbytes], 'uint8').max().item()))
    if (bytes > 1)
      throw new FormatError(
        `${this.path}: tensor ${JSON.stringify(name)}: got the byte ${bytes}, expected 0 or 1 in BOOL`,
      )
  }

  #listNames(): string {
    const names = [...this.entries.keys()]
    const shown = names.slice(0, 5).map((name) => JSON.stringify(name))
    return names.length > 5 ? `${shown.join(', ')} and ${names.length - 5} more` : shown.join(', ') || 'none'
  }
}

/**
 * Opens a safetensors file of any size. See MappedFile for what happens to a file that changes while it is open.
 * @throws FormatError when the file breaks any rule of the format
 * @throws HearthError when it cannot be read
 * @example
 * using file = readSafetensors('model.safetensors')
 * const weight = file.tensor('wte.weight')
 */
export function readSafetensors(path: string): SafetensorsFile {
  const file = MappedFile.open(path)
  try {
    return new SafetensorsFile(file)
  } catch (error) {
    file.close()
    throw error
  }
}

/**
 * Writes tensors to a file that replaces `path` once all of it is on disk: the name holds either the old contents or
 * the new ones. Tensors read from the old file may be among those written. The bytes depend only on what is given, not
 * on its order: widest elements first, then by name. Memory for a second tensor is needed only by tensors that are not
 * contiguous or not on the CPU, one at a time.
 * @throws FormatError when a name or a metadata text cannot be written
 * @throws HearthError when the disk refuses; nothing is left behind
 * @example
 * writeSafetensors('model.safetensors', flattenTree(weights), { format: 'pt' })
 */
export function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): void {
  const described = Object.entries(tensors).map(([name, tensor]) => describe(path, name, tensor))
  described.sort((a, b) => b.width - a.width || (a.name < b.name ? -1 : 1))
  const header = formatHeader(path, described, metadata)
  replaceFile(path, (write) => {
    write(header)
    for (const { tensor } of described) noGrad(() => scope(() => writeTensor(tensor, write)))
  })
}

function describe(path: string, name: string, tensor: Tensor) {
  if (!(tensor instanceof Tensor))
    throw new FormatError(`cannot write ${path}: ${JSON.stringify(name)} is not a Tensor, but ${typeof tensor}`)
  const { dtype, shape } = tensor
  return { name, tensor, dtype, shape, width: dtypeBytes(dtype) }
}

// Typed arrays end at 2^32 elements in Node 20; pieces this large cost nothing.
const PIECE_ELEMENTS = 2 ** 28

function writeTensor(tensor: Tensor, write: Write): void {
  const flat = tensor.to({ device: 'cpu' }).contiguous().view([-1])
  for (let start = 0; start < tensor.numel; start += PIECE_ELEMENTS) {
    const piece = flat.slice({ start, end: Math.min(start + PIECE_ELEMENTS, tensor.numel) }).data()
    write(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength))
  }
}
