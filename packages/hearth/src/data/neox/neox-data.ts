// Token shards from GPT-NeoX's pairs of `.bin` and `.idx`, and such pairs from token shards. Not here: the index (neox-index.ts).
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DataError, MappedFile, replaceFile, type Write } from '@hearth/torch'
import { isHeldOut } from '../shards/held-out-documents.js'
import { FORMAT, MANIFEST, readManifest, VERSION, type SplitName, type TokenManifest } from '../shards/manifest.js'
import { SplitWriter } from '../shards/split-writer.js'
import { TokenShards, type TokenSequence } from '../shards/token-shards.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { neoxHeader, neoxPaths, readNeoxIndex, refuseExisting, type NeoxIndex } from './neox-index.js'

/** A pair of files that is open: documents, and all of them as one sequence of tokens. */
export class NeoxData implements TokenSequence {
  readonly tokens: number
  readonly documents: number
  readonly #index: NeoxIndex
  readonly #bin: MappedFile
  /** Of each sequence and the end: tokens before it. */
  readonly #starts: Float64Array

  /** @internal Use NeoxData.open(). */
  private constructor(index: NeoxIndex, bin: MappedFile) {
    this.#index = index
    this.#bin = bin
    this.tokens = index.tokens
    this.documents = index.documents
    this.#starts = new Float64Array(index.sequences + 1)
    for (let i = 0; i < index.sequences; i++) this.#starts[i + 1] = this.#starts[i]! + index.sequence(i).length
  }

  /**
   * @param path the `.idx`, the `.bin` or their common beginning
   * @throws HearthError when one is missing, FormatError when the index is malformed
   */
  static open(path: string): NeoxData {
    const { idx, bin } = neoxPaths(path)
    const file = MappedFile.open(bin)
    try {
      return new NeoxData(readNeoxIndex(idx, file.size), file)
    } catch (error) {
      file.close()
      throw error
    }
  }

  /** Copies the tokens from `start` on into `into[at, at + count)`. */
  read(start: number, into: Int32Array, at: number, count: number): void {
    if (!(start >= 0 && count >= 0 && start + count <= this.tokens))
      throw new RangeError(`${this.#bin.path}: tokens ${start} to ${start + count} of ${this.tokens} were asked for`)
    for (let done = 0, sequence = this.#sequenceOf(start); done < count; sequence++) {
      const from = start + done - this.#starts[sequence]!
      const length = Math.min(count - done, this.#starts[sequence + 1]! - start - done)
      this.#copy(
        this.#index.sequence(sequence).offset + from * this.#index.width,
        into.subarray(at + done, at + done + length),
      )
      done += length
    }
  }

  /** The tokens of one document. */
  document(number: number): Int32Array {
    const [first, end] = [this.#index.firstOf(number), this.#index.firstOf(number + 1)]
    const into = new Int32Array(this.#starts[end]! - this.#starts[first]!)
    this.read(this.#starts[first]!, into, 0, into.length)
    return into
  }

  close(): void {
    this.#index.close()
    this.#bin.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #copy(offset: number, into: Int32Array): void {
    const { width, signed } = this.#index
    const bytes = this.#bin.bytes(offset, into.length * width)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let i = 0; i < into.length; i++) {
      if (width === 1) into[i] = signed ? view.getInt8(i) : view.getUint8(i)
      else if (width === 2) into[i] = signed ? view.getInt16(2 * i, true) : view.getUint16(2 * i, true)
      else if (width === 4) into[i] = view.getInt32(4 * i, true)
      else into[i] = Number(view.getBigInt64(8 * i, true))
    }
  }

  /** The last sequence that starts at or before a token and is not empty. */
  #sequenceOf(token: number): number {
    let [low, high] = [0, this.#index.sequences - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle]! <= token) low = middle
      else high = middle - 1
    }
    return low
  }
}

/** Tokens that are moved at once. */
const PIECE = 2 ** 20

export interface NeoxIntoShardsOptions {
  /** What made the tokens. */
  tokenizer: Tokenizer
  heldOutFraction?: number
  seed?: number
  shardTokens?: number
}

/**
 * Reads a pair into a folder of token shards, its documents held out by the hash of their text, as prepareTokens() does.
 * @throws DataError when a token is not in the tokenizer's vocabulary, or the folder is not empty
 */
export function readNeoxIntoShards(path: string, outDir: string, options: NeoxIntoShardsOptions): TokenManifest {
  const { tokenizer, heldOutFraction = 0.05, seed = 0, shardTokens = 2 ** 26 } = options
  using data = NeoxData.open(path)
  if (tokenizer.endOfText === undefined) throw new DataError('the tokenizer has no end-of-text token')
  if (existsSync(outDir) && readdirSync(outDir).length > 0) throw new DataError(`${outDir} is not empty`)
  mkdirSync(outDir, { recursive: true })
  const { idx, bin } = neoxPaths(path)
  const dtype = tokenizer.vocabSize <= 65_536 ? 'uint16' : 'uint32'
  const writer = (name: SplitName) => new SplitWriter(outDir, name, dtype, shardTokens)
  const settings = { textColumn: 'text', heldOutFraction, seed, shardTokens }
  const splits = dealt(data, tokenizer, settings, { train: writer('train'), heldout: writer('heldout') })
  const manifest: TokenManifest = {
    format: FORMAT,
    version: VERSION,
    dtype,
    vocabSize: tokenizer.vocabSize,
    endOfText: tokenizer.endOfText,
    tokenizer: tokenizer.hash,
    options: settings,
    sources: [idx, bin].map((one) => ({ path: one, bytes: statSync(one).size, modified: statSync(one).mtimeMs })),
    heldOut: 'documents',
    splits,
  }
  replaceFile(join(outDir, MANIFEST), (write) => write(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)))
  return manifest
}

/** Every document in its split. */
function dealt(
  data: NeoxData,
  tokenizer: Tokenizer,
  { heldOutFraction, seed }: TokenManifest['options'],
  splits: Record<SplitName, SplitWriter>,
): TokenManifest['splits'] {
  try {
    for (let number = 0; number < data.documents; number++) {
      const { ids, text } = read(data.document(number), tokenizer, `document ${number}`)
      const split = splits[isHeldOut(text, heldOutFraction, seed) ? 'heldout' : 'train']
      split.write(ids, Buffer.byteLength(text))
      split.endDocument(tokenizer.endOfText!)
    }
    return { train: splits.train.finish(), heldout: splits.heldout.finish() }
  } catch (error) {
    for (const split of Object.values(splits)) split.abandon()
    throw error
  }
}

/** A document without the token that ends it, which not every file has. */
function read(ids: Int32Array, tokenizer: Tokenizer, where: string): { ids: Int32Array; text: string } {
  const unknown = ids.findIndex((id) => id < 0 || id >= tokenizer.vocabSize)
  if (unknown >= 0)
    throw new DataError(`${where}: token ${unknown} is ${ids[unknown]}, the tokenizer has ${tokenizer.vocabSize}`, {
      remedy: 'give the tokenizer that made the tokens',
    })
  const own = ids.at(-1) === tokenizer.endOfText ? ids.subarray(0, -1) : ids
  return { ids: own, text: tokenizer.decode(own) }
}

export interface WrittenNeox {
  /** The common beginning of the pair. */
  path: string
  tokens: number
  documents: number
}

/**
 * Writes both splits of a folder of token shards as pairs, a document a sequence with the token that ends it.
 * @param prefix `books` gives books_train_text_document.bin and .idx, and books_heldout_text_document.*
 * @throws HearthError when one of them exists
 */
export async function writeNeox(folder: string, prefix: string): Promise<WrittenNeox[]> {
  const manifest = await readManifest(folder)
  const names = (['train', 'heldout'] as const).filter((name) => manifest.splits[name].tokens > 0)
  const pathOf = (name: SplitName) => `${prefix}_${name}_text_document`
  refuseExisting(
    names.flatMap((name) => Object.values(neoxPaths(pathOf(name)))),
    existsSync,
  )
  const written: WrittenNeox[] = []
  for (const name of names) {
    using shards = await TokenShards.open(folder, name)
    const width = manifest.dtype === 'uint16' ? 2 : 4
    const { idx, bin } = neoxPaths(pathOf(name))
    const lengths = writeTokens(bin, shards, width, manifest.endOfText)
    replaceFile(idx, (write) => writeIndex(write, lengths, width))
    written.push({ path: pathOf(name), tokens: shards.tokens, documents: lengths.length })
  }
  return written
}

/** @returns the length of each document */
function writeTokens(path: string, shards: TokenShards, width: 2 | 4, end: number): number[] {
  const lengths: number[] = []
  replaceFile(path, (write) => {
    const ids = new Int32Array(PIECE)
    let length = 0
    for (let start = 0; start < shards.tokens; start += PIECE) {
      const count = Math.min(PIECE, shards.tokens - start)
      shards.read(start, ids, 0, count)
      for (let i = 0; i < count; i++) {
        length++
        if (ids[i] !== end) continue
        lengths.push(length)
        length = 0
      }
      const piece = width === 2 ? Uint16Array.from(ids.subarray(0, count)) : ids.slice(0, count)
      write(new Uint8Array(piece.buffer, 0, piece.byteLength))
    }
    if (length > 0) lengths.push(length)
  })
  return lengths
}

function writeIndex(write: Write, lengths: readonly number[], width: 2 | 4): void {
  write(neoxHeader(width, lengths.length, lengths.length + 1))
  write(new Uint8Array(Int32Array.from(lengths).buffer))
  const offsets = new BigInt64Array(lengths.length)
  for (let i = 1; i < lengths.length; i++) offsets[i] = offsets[i - 1]! + BigInt(lengths[i - 1]! * width)
  write(new Uint8Array(offsets.buffer))
  write(new Uint8Array(BigInt64Array.from({ length: lengths.length + 1 }, (_, i) => BigInt(i)).buffer))
}
