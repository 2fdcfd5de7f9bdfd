/**
 * CLIP's tokenizer (Radford et al. 2021) from its vocab.json and merges.txt, which is all that folders of Stable Diffusion
 * have: written as the tokenizer.json that means the same. Texts are lowercased, runs of spaces are one.
 */
import { FormatError } from '@hearth/torch'
import { isObject, type Json } from './definition.js'
import { Tokenizer } from './tokenizer.js'

const START = '<|startoftext|>'
const END = '<|endoftext|>'
/** Contractions, words, single digits, and runs of anything else. */
const WORDS = String.raw`'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`

export interface ClipFiles {
  /** Contents of vocab.json. */
  vocabulary: unknown
  /** Contents of merges.txt. */
  merges: string
  /** Contents of tokenizer_config.json. */
  config?: unknown
  /** What to call it in messages. */
  where: string
}

function mergesOf(text: string, where: string): [string, string][] {
  const lines = text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#version'))
  return lines.map((line) => {
    const parts = line.split(' ')
    if (parts.length === 2) return [parts[0]!, parts[1]!]
    throw new FormatError(`${where}: merges.txt has the line ${JSON.stringify(line.slice(0, 80))}, expected two tokens`)
  })
}

/**
 * @throws FormatError when the files are malformed, or the vocabulary lacks the tokens around a text
 * @example
 * clipTokenizer({ vocabulary, merges, where: 'tokenizer' }).encode('a cat') // [49406, 320, 2368, 49407]
 */
export function clipTokenizer({ vocabulary, merges, config, where }: ClipFiles): Tokenizer {
  const ids = isObject(vocabulary) ? vocabulary : {}
  for (const token of [START, END])
    if (typeof ids[token] !== 'number')
      throw new FormatError(`${where}: vocab.json has no ${token}, expected a vocabulary of CLIP`)
  const special = (content: string) => ({ id: ids[content], content, special: true, normalized: false })
  const json: Json = {
    version: '1.0',
    added_tokens: [special(START), special(END)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: String.raw`\s+` }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: { type: 'RobertaProcessing', sep: [END, ids[END]], cls: [START, ids[START]] },
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      unk_token: END,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      vocab: ids,
      merges: mergesOf(merges, where),
    },
  }
  return Tokenizer.fromJson(json, isObject(config) ? config : {}, where)
}
