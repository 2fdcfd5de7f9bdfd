/**
 * Documents of a text file: the whole file is one, unless it has `<|endoftext|>` between documents. A long document comes
 * in pieces of about a megabyte, cut where it makes no difference to byte-level tokens.
 */
import { END_OF_TEXT } from '../tokenizer/train.js'

/** A document of a text file, or the next part of one. */
export interface TextPiece {
  text: string
  /** Number of the document in its file. */
  index: number
  /** 0 for the first piece of a document, then 1, 2, ... */
  part: number
}

const PIECE = 1 << 20 // characters

/**
 * Cuts a stream of text into documents and pieces, without blank ones. A line break right after a separator belongs to the separator.
 *
 * @param chunks the text, however cut
 * @param pieceLength characters in a piece, about
 */
export async function* splitDocuments(
  chunks: AsyncIterable<string>,
  pieceLength: number = PIECE,
): AsyncGenerator<TextPiece> {
  let buffer = ''
  let index = 0
  let part = 0
  const take = function* (length: number): Generator<TextPiece> {
    let text = buffer.slice(0, length)
    if (index > 0 && part === 0) text = text.replace(/^\r?\n/, '')
    buffer = buffer.slice(length)
    if (/\S/.test(text)) yield { text, index, part: part++ }
  }
  for await (const chunk of chunks) {
    buffer += chunk
    for (;;) {
      const separator = buffer.indexOf(END_OF_TEXT)
      // While no separator is there, its first characters may stand at the end of the buffer.
      const certain = separator >= 0 ? separator : buffer.length - END_OF_TEXT.length
      if (certain > pieceLength) {
        yield* take(cutBefore(buffer, pieceLength))
      } else if (separator >= 0) {
        yield* take(separator)
        buffer = buffer.slice(END_OF_TEXT.length)
        index++
        part = 0
      } else {
        break
      }
    }
  }
  yield* take(buffer.length)
}

/**
 * Where to cut at most `most` characters in: before a line break (else a space) that is followed by something else than
 * white space. GPT-2's pattern gives the last white space to what follows it, so its words are the same on both sides.
 */
function cutBefore(text: string, most: number): number {
  for (const space of ['\n', ' ']) {
    let at = text.lastIndexOf(space, most)
    while (at > most / 2 && /\s/.test(text[at + 1]!)) at = text.lastIndexOf(space, at - 1)
    if (at > most / 2) return at
  }
  const low = text.charCodeAt(most)
  return low >= 0xdc00 && low <= 0xdfff ? most - 1 : most // not inside a surrogate pair
}
