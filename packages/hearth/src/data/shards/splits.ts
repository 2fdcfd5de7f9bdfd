/**
 * Sends each document to the training or the held-out split, as tokens: by its hash, or, where the text is too short of
 * documents for that, by its place. Not here: files of documents (prepare.ts), files of tokens (split-writer.ts).
 */
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isHeldOut } from './held-out-documents.js'
import type { TokenManifest } from './manifest.js'
import { SplitWriter } from './split-writer.js'

/** What a manifest says before the tokens are there. */
export type ManifestHead = Omit<TokenManifest, 'heldOut' | 'splits'>

/** Both splits while they are written. */
export class Splits {
  readonly #tokenizer: Tokenizer
  readonly #head: ManifestHead
  readonly #cutAt: number | undefined
  readonly #train: SplitWriter
  readonly #heldout: SplitWriter
  #current: SplitWriter | undefined

  /** @param cutAt not by hash: this many tokens to the training split, all that follow to the other */
  constructor(folder: string, tokenizer: Tokenizer, head: ManifestHead, cutAt?: number) {
    const { dtype, options } = head
    this.#tokenizer = tokenizer
    this.#head = head
    this.#cutAt = cutAt
    this.#train = new SplitWriter(folder, 'train', dtype, options.shardTokens)
    this.#heldout = new SplitWriter(folder, 'heldout', dtype, options.shardTokens)
  }

  /** Ends the document before and chooses a split for the one that starts with `text`. */
  begin(text: string): void {
    this.#endDocument()
    const { heldOutFraction, seed } = this.#head.options
    const heldOut =
      this.#cutAt === undefined ? isHeldOut(text, heldOutFraction, seed) : this.#train.tokens >= this.#cutAt
    this.#current = heldOut ? this.#heldout : this.#train
  }

  /** Appends text to the document; returns its number of tokens. */
  write(text: string): number {
    // What a document says must not act as a special token, whatever it says.
    const ids = this.#tokenizer.encode(text, { addSpecialTokens: false, recognizeSpecialTokens: false })
    const bytes = Buffer.byteLength(text)
    const room = this.#cutAt === undefined ? Infinity : this.#cutAt - this.#train.tokens
    if (this.#current === this.#train && ids.length > room) {
      const kept = ids.subarray(0, room)
      const keptBytes = Buffer.byteLength(this.#tokenizer.decode(kept))
      this.#train.write(kept, keptBytes)
      this.#endDocument()
      this.#current = this.#heldout
      this.#heldout.write(ids.subarray(room), bytes - keptBytes)
    } else {
      this.#current!.write(ids, bytes)
    }
    return ids.length
  }

  /** Ends the last document and brings everything to disk. */
  finish(): TokenManifest['splits'] {
    this.#endDocument()
    return { train: this.#train.finish(), heldout: this.#heldout.finish() }
  }

  /** Closes what is open, after an error. */
  abandon(): void {
    this.#train.abandon()
    this.#heldout.abandon()
  }

  #endDocument(): void {
    this.#current?.endDocument(this.#head.endOfText)
  }
}
