// Files read through memory: their pages are loaded when they are touched and dropped when memory is short, so a file
// larger than memory can be read piece by piece. Not here: what the bytes mean (safetensors.ts, token shards).
import { type DType, dtypeCode } from './dtype.js'
import { DisposedError, HearthError } from './errors.js'
import { native } from './native.js'
import { Tensor } from './tensor.js'

const collected = new FinalizationRegistry<number>((mapping) => native.unmapFile(mapping))

/**
 * A file mapped into memory, as it is when it is opened: a file that replaces it by rename is another file and is not
 * seen. Whoever shortens the file in place takes away pages that are mapped, and the operating system ends a process
 * that touches one: replace files, never truncate them. Writing to what is mapped reaches the file only where it was
 * opened as shared; then every process that maps the file sees it at once.
 * @example
 * using file = MappedFile.open('tokens.bin')
 * const head = file.bytes(0, 16)
 */
export class MappedFile {
  readonly path: string
  /** Bytes of the file. */
  readonly size: number
  #mapping: number

  private constructor(path: string, mapping: number, size: number) {
    this.path = path
    this.size = size
    this.#mapping = mapping
    collected.register(this, mapping, this)
  }

  /**
   * @param options.shared whether writing to what is mapped reaches the file. The file's bytes must exist: writing to a
   * hole of a file on a full disk ends the process
   * @throws HearthError when the file cannot be read (or written, when shared), or is not a regular file
   */
  static open(path: string, { shared = false }: { shared?: boolean } = {}): MappedFile {
    let opened: [mapping: number, size: number]
    try {
      opened = native.mapFile(path, shared)
    } catch (cause) {
      throw new HearthError((cause as Error).message, { cause })
    }
    return new MappedFile(path, ...opened)
  }

  /**
   * A view of a part of the file, without a copy. It keeps the file mapped after close().
   * @param offset first byte
   * @param length bytes, at most 2^32 - 1; up to the end of the file when it is not given
   * @throws HearthError when the range is not within the file
   */
  bytes(offset = 0, length = this.size - offset): Uint8Array {
    this.#check(offset, length)
    return native.mappedData(this.#open(), offset, length)
  }

  /**
   * A tensor over a part of the file, without a copy where it is aligned to its elements. It keeps the file mapped.
   * @throws HearthError when the range is not within the file
   */
  tensor(offset: number, shape: readonly number[], dtype: DType): Tensor {
    return new Tensor(native.mappedTensor(this.#open(), offset, shape, dtypeCode(dtype)))
  }

  /**
   * Gives back the memory of the pages that were read: they are read again when they are touched. What was written to
   * pages of a file that is not shared is lost. For walking once through a file larger than memory.
   */
  releasePages(): void {
    native.releasePages(this.#open())
  }

  get closed(): boolean {
    return this.#mapping === 0
  }

  /** Gives up the file; its pages stay mapped as long as views or tensors over them live. A second call does nothing. */
  close(): void {
    if (this.closed) return
    collected.unregister(this)
    native.unmapFile(this.#mapping)
    this.#mapping = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #open(): number {
    if (this.closed) throw new DisposedError(`${this.path} was closed`, { remedy: 'close the file after its last use' })
    return this.#mapping
  }

  #check(offset: number, length: number): void {
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
    if (!whole || offset < 0 || length < 0 || offset > this.size - length)
      throw new HearthError(
        `${this.path}: got a range of ${length} bytes at ${offset}, expected one within its ${this.size} bytes`,
      )
  }
}
