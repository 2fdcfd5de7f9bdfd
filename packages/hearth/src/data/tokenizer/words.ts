/**
 * Cuts UTF-8 text into the words that BPE merges within: GPT-2's pattern, and SentencePiece's (a word starts at a space).
 * Works on bytes, because a regular expression over strings costs more than the whole rest of encoding.
 * Not here: merging (bpe.ts), added tokens (encoder.ts).
 */

/** End of the word that starts at `start`; text is valid UTF-8 up to `end`, `start < end`. */
export type WordEnd = (text: Uint8Array, start: number, end: number) => number

const OTHER = 0
const LETTER = 1
const NUMBER = 2
const SPACE = 3

function classOf(codePoint: number): number {
  const character = String.fromCodePoint(codePoint)
  if (/\p{White_Space}/u.test(character)) return SPACE // not \s, which in JavaScript has U+FEFF and lacks U+0085
  if (/\p{L}/u.test(character)) return LETTER
  return /\p{N}/u.test(character) ? NUMBER : OTHER
}

const asciiKinds = Uint8Array.from({ length: 128 }, (_, code) => (classOf(code) << 3) | 1)
const pages: (Uint8Array | undefined)[] = []

/** Class of a code point, from a page of 256 that is filled when first met. */
function pagedClass(codePoint: number): number {
  const index = codePoint >>> 8
  const page = (pages[index] ??= Uint8Array.from({ length: 256 }, (_, low) => classOf((index << 8) | low)))
  return page[codePoint & 255]!
}

/** Class and length in bytes of the character at a position, as `class << 3 | length`. */
function kindAt(text: Uint8Array, at: number): number {
  const first = text[at]!
  if (first < 0x80) return asciiKinds[first]!
  const second = text[at + 1]! & 0x3f
  if (first < 0xe0) return (pagedClass(((first & 0x1f) << 6) | second) << 3) | 2
  const third = text[at + 2]! & 0x3f
  if (first < 0xf0) return (pagedClass(((first & 0x0f) << 12) | (second << 6) | third) << 3) | 3
  const fourth = text[at + 3]! & 0x3f
  return (pagedClass(((first & 0x07) << 18) | (second << 12) | (third << 6) | fourth) << 3) | 4
}

/** Length of `'s`, `'t`, `'m`, `'d`, `'re`, `'ve` or `'ll` at an apostrophe; 0 where there is none. */
function contractionLength(text: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return 0
  const first = text[at + 1]!
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return 2
  if (at + 2 >= end) return 0
  const second = text[at + 2]!
  if ((first === 0x72 || first === 0x76) && second === 0x65) return 3
  return first === 0x6c && second === 0x6c ? 3 : 0
}

/** `\s+(?!\S)|\s+`: a run of spaces leaves its last one to the word that follows. */
function spacesEnd(text: Uint8Array, start: number, end: number): number {
  let at = start
  let last = start
  while (at < end) {
    const kind = kindAt(text, at)
    if (kind >> 3 !== SPACE) return last === start ? at : last
    last = at
    at += kind & 7
  }
  return end
}

/**
 * GPT-2's pattern `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, one match.
 * Source: Radford et al. 2019, `encoder.py`.
 */
export const gpt2WordEnd: WordEnd = (text, start, end) => {
  let at = start
  let kind = kindAt(text, at)
  if (text[at] === 0x27) {
    const length = contractionLength(text, at, end)
    if (length > 0) return at + length
  } else if (text[at] === 0x20 && at + 1 < end) {
    const next = kindAt(text, at + 1)
    if (next >> 3 !== SPACE) {
      at += 1
      kind = next
    }
  }
  const wanted = kind >> 3
  if (wanted === SPACE) return spacesEnd(text, start, end)
  do {
    at += kind & 7
    if (at >= end) return end
    kind = kindAt(text, at)
  } while (kind >> 3 === wanted)
  return at
}

/** A word is a run of spaces and the characters up to the next space: SentencePiece's pieces hold spaces only in front. */
export const spacedWordEnd: WordEnd = (text, start, end) => {
  let at = start
  while (at < end && text[at] === 0x20) at++
  while (at < end && text[at] !== 0x20) at++
  return at
}
