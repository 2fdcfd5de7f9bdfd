// A tokenizer in the metadata of a GGUF file: byte-level BPE as llama.cpp's `gpt2`, SentencePiece's BPE as its `llama`.
import type { Tokenizer } from '../../data/index.js'
import type { Refuse } from './architecture.js'
import { paddingToken, splitPatterns, tokenType } from './tokenizer-kinds.js'
import { array, bool, string, uint32, type TypedValue } from './values.js'

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const objects = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : [])

/**
 * @param rows of the embedding; those beyond the vocabulary become tokens that are never used
 * @param refuse is told where llama.cpp would cut or join text otherwise
 */
export function tokenizerMetadata(tokenizer: Tokenizer, rows: number, refuse: Refuse): Record<string, TypedValue> {
  const { json } = tokenizer
  const model = isObject(json.model) ? json.model : {}
  if (tokenizer.vocabSize > rows) refuse('tokenizer', `has ${tokenizer.vocabSize} tokens, the embedding ${rows} rows`)
  if (model.type !== undefined && model.type !== 'BPE')
    refuse('tokenizer', `is ${JSON.stringify(model.type)}; BPE alone is written`)
  const own = model.byte_fallback === true ? sentencePiece(tokenizer, model, rows) : byteLevel(json, model, refuse)
  const added = new Map(objects(json.added_tokens).map((token) => [token.id, token]))
  const tokens = Array.from({ length: rows }, (_, id) => tokenizer.token(id))
  const types = tokens.map((token, id) => typeOf(token, added.get(id), model))
  const padding = tokenizer.tokenId(contentOf(tokenizer.config.pad_token))
  return {
    ...own,
    'tokenizer.ggml.tokens': array(
      'string',
      tokens.map((token, id) => token ?? paddingToken(id)),
    ),
    'tokenizer.ggml.token_type': array('int32', types),
    ...(padding === undefined ? {} : { 'tokenizer.ggml.padding_token_id': uint32(padding) }),
    'tokenizer.ggml.add_bos_token': bool(
      tokenizer.beginOfText !== undefined && tokenizer.encode('')[0] === tokenizer.beginOfText,
    ),
    ...(tokenizer.chatTemplate === undefined ? {} : { 'tokenizer.chat_template': string(tokenizer.chatTemplate) }),
  }
}

const contentOf = (token: unknown): string | undefined => {
  const content = isObject(token) ? token.content : token
  return typeof content === 'string' ? content : undefined
}

function typeOf(token: string | undefined, added: Json | undefined, model: Json): number {
  if (token === undefined) return tokenType.unused
  if (model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token)) return tokenType.byte
  if (model.byte_fallback === true && token === model.unk_token) return tokenType.unknown
  if (added === undefined) return tokenType.normal
  return added.special === true ? tokenType.control : tokenType.userDefined
}

const mergesOf = (model: Json): [string, string][] =>
  (Array.isArray(model.merges) ? model.merges : []).map(
    (merge) => (typeof merge === 'string' ? merge.split(' ') : merge) as [string, string],
  )

/** The pattern of a Split before the byte level; undefined for GPT-2's, which the byte level has built in. */
function splitPattern(preTokenizer: unknown): { known: boolean; pattern?: string } {
  const steps =
    isObject(preTokenizer) && preTokenizer.type === 'Sequence'
      ? objects(preTokenizer.pretokenizers)
      : objects([preTokenizer])
  const level = steps.at(-1)
  if (level?.type !== 'ByteLevel' || level.add_prefix_space === true) return { known: false }
  if (steps.length === 1) return { known: level.use_regex !== false }
  const [split] = steps
  const pattern = isObject(split!.pattern) ? split!.pattern.Regex : undefined
  const whole =
    steps.length === 2 && split!.type === 'Split' && level.use_regex === false && split!.behavior === 'Isolated'
  return typeof pattern === 'string' ? { known: whole, pattern } : { known: false }
}

function byteLevel(json: Json, model: Json, refuse: Refuse): Record<string, TypedValue> {
  const { known, pattern } = splitPattern(json.pre_tokenizer)
  const split = splitPatterns.find((one) => one.pattern === pattern)
  if (!known || split === undefined)
    refuse('tokenizer.pre_tokenizer', 'cuts text in a way that llama.cpp has no name for, of those that Hearth knows')
  return {
    'tokenizer.ggml.model': string('gpt2'),
    'tokenizer.ggml.pre': string(split?.names[0] ?? ''),
    'tokenizer.ggml.merges': array(
      'string',
      mergesOf(model).map((pair) => pair.join(' ')),
    ),
  }
}

/** llama.cpp joins pieces by the score of what comes out: minus the rank of the first merge that makes it. */
function sentencePiece(tokenizer: Tokenizer, model: Json, rows: number): Record<string, TypedValue> {
  const ranks = new Map<string, number>()
  for (const [rank, [left, right]] of mergesOf(model).entries())
    if (!ranks.has(left + right)) ranks.set(left + right, rank + 1)
  const scores = Array.from({ length: rows }, (_, id) => {
    const rank = ranks.get(tokenizer.token(id) ?? '')
    return rank === undefined ? (isPlain(tokenizer.token(id)) ? -1e6 : 0) : -rank
  })
  const unknown = tokenizer.tokenId(contentOf(model.unk_token))
  return {
    'tokenizer.ggml.model': string('llama'),
    'tokenizer.ggml.pre': string('default'),
    'tokenizer.ggml.scores': array('float32', scores),
    ...(unknown === undefined ? {} : { 'tokenizer.ggml.unknown_token_id': uint32(unknown) }),
    'tokenizer.ggml.add_space_prefix': bool(JSON.stringify(tokenizer.json.normalizer ?? '').includes('Prepend')),
  }
}

/** A single character, which no merge makes: it never has to compete with one. */
const isPlain = (token: string | undefined): boolean => token !== undefined && [...token].length === 1
