/**
 * Recognises in a tokenizer.json the two kinds of BPE that Hearth's families use: byte-level with GPT-2's pattern (GPT-2,
 * GPT-NeoX, Pythia, GPT-J) and SentencePiece's with byte fallback (LLaMA, Mistral). Not here: encoding itself (bpe.ts).
 */
import { FormatError } from '@hearth/torch'
import { byteAlphabet, tokenToBytes } from './byte-alphabet.js'
import { BpeEncoder } from './bpe.js'
import type { InitialIds, Merge } from './bpe.js'
import { isObject } from './definition.js'
import type { TokenizerDefinition } from './definition.js'
import { gpt2WordEnd, spacedWordEnd } from './words.js'

/** How one kind of BPE differs from another. */
export interface BpeKind {
  normalize(text: string): string
  encoder: BpeEncoder
  bytesOf(token: string): Uint8Array
  /** SentencePiece puts a space in front of the text, and decoding takes it away. */
  leadingSpace: boolean
}

/** The kind of BPE that a definition describes, or undefined where it is none of those known here. */
export function bpeKind(definition: TokenizerDefinition): BpeKind | undefined {
  const { model, addedTokens } = definition
  const plainBpe =
    (model.type === 'BPE' || model.type === undefined) &&
    Array.isArray(model.merges) &&
    !model.dropout &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    model.ignore_merges !== true
  if (!plainBpe || addedTokens.some((token) => !token.plain)) return undefined
  return byteLevelKind(definition) ?? sentencePieceKind(definition)
}

function typeOf(part: unknown): unknown {
  return isObject(part) ? part.type : undefined
}

function byteLevelKind(definition: TokenizerDefinition): BpeKind | undefined {
  const { json, vocabulary } = definition
  const normalizer = json.normalizer ?? undefined
  const preTokenizer = json.pre_tokenizer
  const fits =
    (normalizer === undefined || typeOf(normalizer) === 'NFC') &&
    isObject(preTokenizer) &&
    preTokenizer.type === 'ByteLevel' &&
    preTokenizer.add_prefix_space === false &&
    preTokenizer.use_regex !== false &&
    typeOf(json.decoder) === 'ByteLevel'
  // Thirteen bytes never occur in UTF-8; GPT-NeoX's vocabulary is without them.
  const byteIds = Int32Array.from(byteAlphabet, (character) => vocabulary.get(character) ?? -1)
  const complete = byteIds.every((id, byte) => id >= 0 || byte === 0xc0 || byte === 0xc1 || byte > 0xf4)
  if (!fits || !complete) return undefined
  const initialIds: InitialIds = (text, start, end, ids) => {
    for (let i = start; i < end; i++) ids[i - start] = byteIds[text[i]!]!
    return end - start
  }
  return {
    normalize: (text) => (normalizer === undefined ? text : text.normalize('NFC')),
    encoder: new BpeEncoder(gpt2WordEnd, initialIds, readMerges(definition)),
    bytesOf: tokenToBytes,
    leadingSpace: false,
  }
}

const SPACE_MARK = '\u2581' // ▁, what SentencePiece writes for a space
const sentencePieceNormalizer = JSON.stringify([
  { type: 'Prepend', prepend: SPACE_MARK },
  { type: 'Replace', pattern: { String: ' ' }, content: SPACE_MARK },
])
const sentencePieceDecoder = JSON.stringify([
  { type: 'Replace', pattern: { String: SPACE_MARK }, content: ' ' },
  { type: 'ByteFallback' },
  { type: 'Fuse' },
  { type: 'Strip', content: ' ', start: 1, stop: 0 },
])

function sentencePieceKind(definition: TokenizerDefinition): BpeKind | undefined {
  const { json, model, vocabulary, addedTokens } = definition
  const { normalizer, decoder } = json
  const byteIds = Array.from({ length: 256 }, (_, byte) => vocabulary.get(byteToken(byte)))
  const space = vocabulary.get(SPACE_MARK)
  const fits =
    isObject(normalizer) &&
    JSON.stringify(normalizer.normalizers) === sentencePieceNormalizer &&
    isObject(decoder) &&
    JSON.stringify(decoder.decoders) === sentencePieceDecoder &&
    (json.pre_tokenizer ?? undefined) === undefined &&
    model.byte_fallback === true &&
    addedTokens.every((token) => !token.normalized)
  if (!fits || space === undefined || byteIds.includes(undefined)) return undefined
  const merges = readMerges(definition)
  // Words may be cut at spaces only because no merge crosses from another character to a space.
  const crosses = merges.some(({ merged }) => /[^\u2581]\u2581/u.test(definition.tokens.get(merged)!))
  if (crosses) return undefined
  return {
    normalize: (text) => ` ${text.replaceAll(SPACE_MARK, ' ')}`,
    encoder: new BpeEncoder(spacedWordEnd, characterIds(vocabulary, space, byteIds as number[]), merges),
    bytesOf: pieceToBytes,
    leadingSpace: true,
  }
}

function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
}

function pieceToBytes(piece: string): Uint8Array {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)
  return byte ? Uint8Array.of(Number.parseInt(byte[1]!, 16)) : Buffer.from(piece.replaceAll(SPACE_MARK, ' '))
}

/** A character starts as its own token, or as the tokens of its bytes where the vocabulary lacks it. */
function characterIds(vocabulary: ReadonlyMap<string, number>, space: number, byteIds: readonly number[]): InitialIds {
  const known = new Map<string, number>()
  for (const [token, id] of vocabulary) if ([...token].length === 1) known.set(token, id)
  return (text, start, end, ids) => {
    let count = 0
    let at = start
    while (at < end) {
      const first = text[at]!
      const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
      const character =
        first < 0x80 ? String.fromCharCode(first) : Buffer.from(text.subarray(at, at + length)).toString()
      const id = first === 0x20 ? space : known.get(character)
      if (id !== undefined) ids[count++] = id
      else for (let i = at; i < at + length; i++) ids[count++] = byteIds[text[i]!]!
      at += length
    }
    return count
  }
}

/** Merges as `"a b"` or `["a", "b"]`, in the order of their rank. */
function readMerges(definition: TokenizerDefinition): Merge[] {
  const { vocabulary, addedTokens, where } = definition
  const special = new Set(addedTokens.filter((token) => token.special).map((token) => token.id))
  const merges: Merge[] = []
  for (const [index, entry] of (definition.model.merges as unknown[]).entries()) {
    const pair: unknown[] = typeof entry === 'string' ? entry.split(' ') : Array.isArray(entry) ? entry : []
    const [a, b] = pair
    const left = typeof a === 'string' ? vocabulary.get(a) : undefined
    const right = typeof b === 'string' ? vocabulary.get(b) : undefined
    const merged = vocabulary.get(`${String(a)}${String(b)}`)
    if (pair.length !== 2 || left === undefined || right === undefined || merged === undefined) {
      throw new FormatError(
        `${where}: malformed tokenizer.json: model.merges[${index}] is ${JSON.stringify(entry)}; ` +
          'expected two tokens of the vocabulary whose join is in the vocabulary too',
        { remedy: 'fetch the file again from its source' },
      )
    }
    // Ordinary text must never merge into a token that controls the model.
    if (!special.has(merged)) merges.push({ left, right, merged })
  }
  return merges
}
