// What llama.cpp's kinds of tokenizer mean in the terms of tokenizer.json, for both directions.

/** What a token is, by ggml's numbers. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const QWEN2 = LLAMA3.replace('{1,3}', '')

/** The patterns that cut text before BPE, by llama.cpp's names for them (`tokenizer.ggml.pre`); GPT-2's is undefined. */
export const splitPatterns: readonly { names: readonly string[]; pattern: string | undefined }[] = [
  { names: ['gpt-2', 'gpt2', 'default', 'olmo', 'mpt'], pattern: undefined },
  { names: ['llama-bpe', 'llama3', 'llama-v3', 'smaug-bpe'], pattern: LLAMA3 },
  { names: ['qwen2', 'stablelm2'], pattern: QWEN2 },
]

/** SentencePiece's mark of a space. */
export const SPACE_MARK = '\u2581'

export const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }

/** A token that only fills up the embedding's rows. */
export const paddingToken = (id: number): string => `[PAD${id}]`
