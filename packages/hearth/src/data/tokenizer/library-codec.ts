/**
 * Every other kind of tokenizer.json (Unigram, WordPiece, other patterns), through Hugging Face's own JavaScript
 * library: right for all kinds, and slow (0.1 to 1 MB/s). The two kinds that matter for speed are in codec.ts.
 */
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { FormatError } from '@hearth/torch'
import type { IdList } from './bpe.js'
import type { Codec, StreamDecoder } from './codec.js'
import type { TokenizerDefinition } from './definition.js'

/** What is used of the library; its own declarations do not resolve under Node's rules for modules. */
interface Library {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] }
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string
}
const openLibrary = LibraryTokenizer as unknown as new (tokenizer: object, config: object) => Library

// A tokenizer.json may leave these out; the library wants them named.
const absentParts = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null }

/** A codec for any tokenizer.json that the library reads. */
export class LibraryCodec implements Codec {
  readonly #library: Library
  readonly #special: RegExp | undefined

  constructor(definition: TokenizerDefinition) {
    try {
      this.#library = new openLibrary(
        { ...absentParts, ...definition.json },
        { unk_token: definition.model.unk_token }, // where the library looks for that of WordLevel
      )
      // Some parts fail only at the first text: better now.
      this.#library.encode('a', { add_special_tokens: false })
      this.decode([...definition.vocabulary.values()].slice(0, 1))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new FormatError(`${definition.where}: this tokenizer.json cannot be used: ${reason}`, { cause })
    }
    const contents = definition.addedTokens.filter((token) => token.special).map((token) => token.content)
    const escaped = contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
    this.#special = escaped.length === 0 ? undefined : new RegExp(escaped.join('|'), 'g')
  }

  encode(text: string, recognizeSpecialTokens: boolean, out: IdList): void {
    for (const piece of recognizeSpecialTokens ? [text] : this.#severed(text)) {
      for (const id of this.#library.encode(piece, { add_special_tokens: false }).ids) {
        if (id !== undefined) out.push(id) // without an unknown token, what is unknown is left out
      }
    }
  }

  decode(ids: readonly number[]): string {
    if (ids.length === 0) return ''
    return this.#library.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false })
  }

  streamDecoder(): StreamDecoder {
    return new WindowDecoder((ids) => this.decode(ids))
  }

  /** Cuts each special token's text in two, so that neither half is the token any more. */
  #severed(text: string): string[] {
    if (this.#special === undefined) return [text]
    const pieces: string[] = []
    let at = 0
    for (const match of text.matchAll(this.#special)) {
      const middle = match.index + Math.ceil(match[0].length / 2)
      pieces.push(text.slice(at, middle))
      at = middle
    }
    return [...pieces, text.slice(at)].filter((piece) => piece !== '')
  }
}

/**
 * Decodes a window of the last ids with and without the new one, and gives the difference once it ends in a whole
 * character: a decoder of this kind may change earlier text (spaces, joined pieces), never text before the window.
 */
class WindowDecoder implements StreamDecoder {
  readonly #decode: (ids: readonly number[]) => string
  #window: number[] = []
  #given = 0 // how many ids of the window have been given out

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode
  }

  push(id: number): string {
    this.#window.push(id)
    const before = this.#decode(this.#window.slice(0, this.#given))
    const after = this.#decode(this.#window)
    if (after.length <= before.length || after.endsWith('\ufffd')) return ''
    this.#window = this.#window.slice(this.#given)
    this.#given = this.#window.length
    return after.slice(before.length)
  }

  end(): string {
    const before = this.#decode(this.#window.slice(0, this.#given))
    return this.#decode(this.#window).slice(before.length)
  }
}
