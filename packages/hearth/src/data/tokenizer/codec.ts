/**
 * What `Tokenizer` puts its face on: text into ids, ids into text. Two implementations: bpe-codec.ts, fast, for the BPE
 * that Hearth's families use; library-codec.ts for every other kind of tokenizer.json.
 */
import type { IdList } from './bpe.js'

/** Turns text into ids and ids into text; what `Tokenizer` puts its face on. */
export interface Codec {
  /** Appends the ids of the text, without the special tokens around it. */
  encode(text: string, recognizeSpecialTokens: boolean, out: IdList): void
  decode(ids: readonly number[]): string
  streamDecoder(): StreamDecoder
}

/** Turns ids that arrive one by one into text, holding back a character until its last byte is there. */
export interface StreamDecoder {
  /** The text that this id completes; empty while a character is incomplete. */
  push(id: number): string
  /** What is left at the end: U+FFFD for a character that never was completed. */
  end(): string
}
