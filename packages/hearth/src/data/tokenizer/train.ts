/**
 * Trains a byte-level BPE: counts the words of a text, then joins the most frequent pair again and again. Gives the same
 * merges as Hugging Face's BpeTrainer on the same words (ties go to the smaller ids). Memory grows with the number of
 * different words, not with the text. Not here: the pattern of words (words.ts), use of the result (tokenizer.ts).
 * Source: Sennrich et al., ACL 2016; byte-level alphabet of GPT-2 (Radford et al. 2019).
 */
import { setImmediate as turn } from 'node:timers/promises'
import { ConfigError, DataError } from '@hearth/torch'
import { byteAlphabet } from './byte-alphabet.js'
import { PairCounts } from './pair-counts.js'
import { Tokenizer } from './tokenizer.js'
import { WordTable } from './word-table.js'
import { gpt2WordEnd } from './words.js'

/** The special token that ends every document. */
export const END_OF_TEXT = '<|endoftext|>'

/** How far training is. */
export interface BpeTrainingProgress {
  /** Bytes of text counted so far. */
  bytes: number
  /** Size of the vocabulary so far; 257 (the bytes and the end of text) while counting. */
  vocabSize: number
}

/** Options of `trainByteLevelBpe`. */
export interface BpeTrainingOptions {
  /** Tokens wanted: the end of text, 256 bytes, and merges. The result has fewer where the text has no more pairs. */
  vocabSize: number
  /** A pair seen less often is not merged. Default 2. */
  minFrequency?: number
  /** Called about ten times a second. */
  onProgress?: (progress: BpeTrainingProgress) => void
  signal?: AbortSignal
}

const FIRST_BYTE_ID = 1 // id 0 is the end of text
const LONGEST_WORD = 256 // bytes; a longer run teaches nothing and is counted in pieces

/**
 * Trains a byte-level BPE tokenizer with GPT-2's pattern. Ids: 0 is `<|endoftext|>`, then the bytes, then the merges.
 *
 * @param texts documents, or parts of them
 * @throws ConfigError for an impossible size, DataError when there is no text
 * @example
 * const tokenizer = await trainByteLevelBpe(texts, { vocabSize: 8192 })
 * await tokenizer.save('my-tokenizer')
 */
export async function trainByteLevelBpe(
  texts: Iterable<string> | AsyncIterable<string>,
  options: BpeTrainingOptions,
): Promise<Tokenizer> {
  checkOptions(options)
  const breathe = breather(options)
  const progress: BpeTrainingProgress = { bytes: 0, vocabSize: FIRST_BYTE_ID + byteAlphabet.length }
  const words = new WordTable()
  const counts: number[] = []
  for await (const text of texts) {
    progress.bytes += countWords(Buffer.from(text), words, counts)
    await breathe(progress)
  }
  if (words.size === 0) throw new DataError('there is no text to train a tokenizer on: every document is empty')

  const vocabulary = new Map<string, number>([[END_OF_TEXT, 0]])
  for (const character of [...byteAlphabet].sort()) vocabulary.set(character, vocabulary.size)
  const tokens = [...vocabulary.keys()]
  const idOfByte = byteAlphabet.map((character) => vocabulary.get(character)!)
  const pairs = new PairCounts(words, counts, idOfByte)
  const merges: string[] = []
  while (vocabulary.size < options.vocabSize) {
    const pair = pairs.mostFrequent()
    if (pair === undefined || pair.count < (options.minFrequency ?? 2)) break
    const [left, right] = [tokens[pair.left]!, tokens[pair.right]!]
    const token = left + right
    const id = vocabulary.get(token) ?? vocabulary.size // two pairs may join into the same token
    if (id === vocabulary.size) tokens.push(token)
    vocabulary.set(token, id)
    merges.push(`${left} ${right}`)
    pairs.merge(pair, id)
    progress.vocabSize = vocabulary.size
    await breathe(progress)
  }
  return Tokenizer.fromJson(tokenizerJson(vocabulary, merges), tokenizerConfig, 'trained tokenizer')
}

function checkOptions({ vocabSize, minFrequency = 2 }: BpeTrainingOptions): void {
  const smallest = FIRST_BYTE_ID + byteAlphabet.length
  const issues = []
  if (!Number.isInteger(vocabSize) || vocabSize < smallest || vocabSize > 1_000_000) {
    const message = `got ${vocabSize}; expected an integer from ${smallest} (the bytes and the end of text) to 1000000`
    issues.push({ path: 'vocabSize', message })
  }
  if (!Number.isInteger(minFrequency) || minFrequency < 1) {
    issues.push({ path: 'minFrequency', message: `got ${minFrequency}; expected a positive integer` })
  }
  if (issues.length > 0) throw new ConfigError('tokenizer training', issues)
}

/** Lets other work run and reports, about ten times a second; stops when the signal says so. */
function breather({ onProgress, signal }: BpeTrainingOptions): (progress: BpeTrainingProgress) => Promise<void> {
  let last = performance.now()
  return async (progress) => {
    if (performance.now() - last < 100) return
    await turn()
    signal?.throwIfAborted()
    onProgress?.({ ...progress })
    last = performance.now()
  }
}

function countWords(text: Uint8Array, words: WordTable, counts: number[]): number {
  let at = 0
  while (at < text.length) {
    const wordEnd = gpt2WordEnd(text, at, text.length)
    while (at < wordEnd) {
      const end = Math.min(wordEnd, at + LONGEST_WORD)
      const word = words.indexOf(text, at, end)
      counts[word] = (counts[word] ?? 0) + 1
      at = end
    }
  }
  return text.length
}

function tokenizerJson(vocabulary: ReadonlyMap<string, number>, merges: readonly string[]): object {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ id: 0, content: END_OF_TEXT, ...flags }],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(vocabulary),
      merges,
    },
  }
}

const tokenizerConfig = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  bos_token: END_OF_TEXT,
  eos_token: END_OF_TEXT,
  unk_token: END_OF_TEXT,
  add_prefix_space: false,
  clean_up_tokenization_spaces: false,
}
