/**
 * Writes the tokens of one split into shards of equal length, with their checksums. Documents may go on from one shard
 * to the next: a split is one long sequence. Not here: which document goes to which split (prepare.ts).
 */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { endianness } from 'node:os'
import { join } from 'node:path'
import { HearthError } from '@hearth/torch'
import { tokenBytes } from './manifest.js'
import type { SplitName, TokenManifest } from './manifest.js'

type Split = TokenManifest['splits'][SplitName]

const BUFFERED = 1 << 19 // tokens

/** Appends tokens to `train-00000.bin`, `train-00001.bin`, ... */
export class SplitWriter {
  readonly #folder: string
  readonly #name: SplitName
  readonly #dtype: TokenManifest['dtype']
  readonly #shardTokens: number
  readonly #buffer: Uint16Array | Uint32Array
  readonly #split: Split = { tokens: 0, documents: 0, textBytes: 0, shards: [] }
  #buffered = 0
  #file: number | undefined
  #hash: Hash = createHash('sha256')
  #inShard = 0

  constructor(folder: string, name: SplitName, dtype: TokenManifest['dtype'], shardTokens: number) {
    if (endianness() !== 'LE') throw new HearthError('token shards are little-endian; this machine is not')
    this.#folder = folder
    this.#name = name
    this.#dtype = dtype
    this.#shardTokens = shardTokens
    this.#buffer = dtype === 'uint16' ? new Uint16Array(BUFFERED) : new Uint32Array(BUFFERED)
  }

  get tokens(): number {
    return this.#split.tokens
  }

  /** Appends a document or a part of one. */
  write(ids: Int32Array, textBytes: number): void {
    for (let at = 0; at < ids.length;) {
      const room = Math.min(BUFFERED - this.#buffered, this.#shardTokens - this.#inShard - this.#buffered)
      const part = ids.subarray(at, at + room)
      this.#buffer.set(part, this.#buffered)
      this.#buffered += part.length
      at += part.length
      if (this.#buffered === BUFFERED || this.#inShard + this.#buffered === this.#shardTokens) this.#flush()
      if (this.#inShard === this.#shardTokens) this.#endShard()
    }
    this.#split.tokens += ids.length
    this.#split.textBytes += textBytes
  }

  /** Ends the document by the end-of-text token. */
  endDocument(endOfText: number): void {
    this.write(Int32Array.of(endOfText), 0)
    this.#split.documents++
  }

  /** Brings everything to disk and says what was written. */
  finish(): Split {
    this.#flush()
    this.#endShard()
    return this.#split
  }

  /** Closes the file in work, after an error. */
  abandon(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #path(): string {
    return join(this.#folder, `${this.#name}-${String(this.#split.shards.length).padStart(5, '0')}.bin`)
  }

  #flush(): void {
    if (this.#buffered === 0) return
    const bytes = new Uint8Array(this.#buffer.buffer, 0, this.#buffered * tokenBytes(this.#dtype))
    this.#onDisk(() => {
      this.#file ??= openSync(this.#path(), 'w')
      for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at)
    })
    this.#hash.update(bytes)
    this.#inShard += this.#buffered
    this.#buffered = 0
  }

  #endShard(): void {
    const file = this.#file
    if (file === undefined) return
    this.#onDisk(() => fsyncSync(file))
    closeSync(file)
    const path = this.#path()
    this.#split.shards.push({
      file: path.slice(this.#folder.length + 1),
      tokens: this.#inShard,
      bytes: this.#inShard * tokenBytes(this.#dtype),
      sha256: this.#hash.digest('hex'),
    })
    this.#file = undefined
    this.#hash = createHash('sha256')
    this.#inShard = 0
  }

  #onDisk(run: () => void): void {
    try {
      run()
    } catch (cause) {
      throw new HearthError(`${this.#path()}: cannot be written: ${(cause as Error).message}`, {
        cause,
        remedy: 'make room on the disk or choose another folder, and start again',
      })
    }
  }
}
