/**
 * The alphabet of byte-level BPE: one printable character for each of the 256 bytes, as GPT-2 chose them, so that
 * vocabularies can be written as text. Not here: splitting into words or merging.
 */

function makeAlphabet(): string[] {
  const alphabet: string[] = []
  let next = 256 // bytes without a printable character of their own take the code points from 256 on
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    alphabet.push(String.fromCodePoint(printable ? byte : next++))
  }
  return alphabet
}

/** The character that stands for each byte: `byteAlphabet[0x20]` is `Ġ`. */
export const byteAlphabet: readonly string[] = makeAlphabet()

const byteOfCharacter = new Map(byteAlphabet.map((character, byte) => [character, byte]))

/** The bytes as a vocabulary entry writes them. */
export function bytesToToken(bytes: Uint8Array): string {
  let token = ''
  for (const byte of bytes) token += byteAlphabet[byte]!
  return token
}

/** The bytes that a vocabulary entry stands for; an entry with a character outside the alphabet stands for itself. */
export function tokenToBytes(token: string): Uint8Array {
  const bytes: number[] = []
  for (const character of token) {
    const byte = byteOfCharacter.get(character)
    if (byte === undefined) return Buffer.from(token)
    bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}
