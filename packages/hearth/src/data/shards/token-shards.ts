/**
 * Reads the tokens of a split through memory: opening costs no copy, and of a split larger than memory only the pages
 * in use are there. A split is one long sequence, whatever its shards. Not here: batches (../loader).
 */
import { join } from 'node:path'
import { DisposedError, MappedFile } from '@hearth/torch'
import { readManifest, verifyTokens } from './manifest.js'
import type { SplitName, TokenManifest } from './manifest.js'

/** A sequence of tokens that can be read at any place. */
export interface TokenSequence {
  /** Length of the sequence. */
  readonly tokens: number
  /** Copies the tokens from `start` on into `into[at, at + count)`. */
  read(start: number, into: Int32Array, at: number, count: number): void
}

interface Shard {
  /** Place of its first token in the sequence. */
  start: number
  ids: Uint16Array | Uint32Array
}

/**
 * The tokens of one split of a prepared folder.
 *
 * @example
 * using train = await TokenShards.open('runs/books/tokens', 'train')
 * const ids = new Int32Array(1024)
 * train.read(0, ids, 0, 1024)
 */
export class TokenShards implements TokenSequence {
  readonly folder: string
  readonly split: SplitName
  readonly manifest: TokenManifest
  readonly #shards: readonly Shard[]
  readonly #files: readonly MappedFile[]
  #closed = false

  private constructor(folder: string, split: SplitName, manifest: TokenManifest, files: readonly MappedFile[]) {
    this.folder = folder
    this.split = split
    this.manifest = manifest
    this.#files = files
    let start = 0
    this.#shards = files.map((file) => {
      const bytes = file.bytes()
      const { buffer, byteOffset, length } = bytes
      const ids =
        manifest.dtype === 'uint16'
          ? new Uint16Array(buffer, byteOffset, length / 2)
          : new Uint32Array(buffer, byteOffset, length / 4)
      const shard = { start, ids }
      start += ids.length
      return shard
    })
  }

  /**
   * Opens a split after checking the manifest and the sizes of all files.
   *
   * @param verify read everything once and compare the checksums too
   * @throws DataError when the folder was never prepared or not to the end, FormatError when it is damaged
   */
  static async open(folder: string, split: SplitName, { verify = false } = {}): Promise<TokenShards> {
    if (verify) await verifyTokens(folder)
    const manifest = await readManifest(folder)
    const files = manifest.splits[split].shards.map(({ file }) => MappedFile.open(join(folder, file)))
    return new TokenShards(folder, split, manifest, files)
  }

  get tokens(): number {
    return this.manifest.splits[this.split].tokens
  }

  get documents(): number {
    return this.manifest.splits[this.split].documents
  }

  /** Bytes of text behind the tokens: what bits per byte divide by. */
  get textBytes(): number {
    return this.manifest.splits[this.split].textBytes
  }

  /**
   * Copies tokens.
   *
   * @throws RangeError when the range is not within the split, DisposedError after `close`
   */
  read(start: number, into: Int32Array, at: number, count: number): void {
    if (this.#closed) throw new DisposedError(`${this.folder}: the ${this.split} tokens were closed`)
    if (!(start >= 0 && count >= 0 && start + count <= this.tokens)) {
      throw new RangeError(`${this.folder}: tokens ${start} to ${start + count} of ${this.tokens} were asked for`)
    }
    let index = this.#shardOf(start)
    for (let done = 0; done < count; index++) {
      const { start: shardStart, ids } = this.#shards[index]!
      const from = start + done - shardStart
      const length = Math.min(count - done, ids.length - from)
      into.set(ids.subarray(from, from + length), at + done)
      done += length
    }
  }

  /** Gives up the files. */
  close(): void {
    this.#closed = true
    for (const file of this.#files) file.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** The last shard that starts at or before a token. */
  #shardOf(token: number): number {
    let low = 0
    let high = this.#shards.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#shards[middle]!.start <= token) low = middle
      else high = middle - 1
    }
    return low
  }
}
