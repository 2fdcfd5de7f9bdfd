/**
 * Encoding and decoding of the kinds of BPE that bpe-kinds.ts knows: added tokens, then words, then merges; bytes back
 * into text. Truncation and padding that a tokenizer.json may ask for are not done: they are the caller's matter.
 */
import { AddedTokenSplitter } from './added-tokens.js'
import type { IdList } from './bpe.js'
import type { BpeKind } from './bpe-kinds.js'
import type { Codec, StreamDecoder } from './codec.js'
import type { TokenizerDefinition } from './definition.js'

/** The fast codec. */
export class BpeCodec implements Codec {
  readonly #definition: TokenizerDefinition
  readonly #kind: BpeKind
  readonly #splitter: AddedTokenSplitter
  readonly #bytes: Uint8Array[] = [] // of each id, filled when first met

  constructor(definition: TokenizerDefinition, kind: BpeKind) {
    this.#definition = definition
    this.#kind = kind
    this.#splitter = new AddedTokenSplitter(definition.addedTokens, (text) => kind.normalize(text))
  }

  encode(text: string, recognizeSpecialTokens: boolean, out: IdList): void {
    for (const piece of this.#splitter.split(text, recognizeSpecialTokens)) {
      if (typeof piece === 'number') out.push(piece)
      else this.#kind.encoder.encode(Buffer.from(piece), out)
    }
  }

  decode(ids: readonly number[]): string {
    const pieces = ids.map((id) => this.#bytesOf(id))
    const bytes = Buffer.allocUnsafe(pieces.reduce((sum, piece) => sum + piece.length, 0))
    let at = 0
    for (const piece of pieces) for (const byte of piece) bytes[at++] = byte
    const text = bytes.toString()
    return this.#kind.leadingSpace && text.startsWith(' ') ? text.slice(1) : text
  }

  streamDecoder(): StreamDecoder {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    let dropSpace = this.#kind.leadingSpace
    return {
      push: (id) => {
        const text = decoder.decode(this.#bytesOf(id), { stream: true })
        if (!dropSpace || text === '') return text
        dropSpace = false
        return text.startsWith(' ') ? text.slice(1) : text
      },
      end: () => decoder.decode(),
    }
  }

  #bytesOf(id: number): Uint8Array {
    return (this.#bytes[id] ??= this.#kind.bytesOf(this.#definition.tokens.get(id)!))
  }
}
