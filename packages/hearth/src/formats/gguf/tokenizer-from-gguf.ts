// A tokenizer out of the metadata of a GGUF file, as Hugging Face's tokenizer.json would define it.
import { FormatError } from '@hearth/torch'
import { Tokenizer } from '../../data/index.js'
import type { GgufArray, GgufFile } from './gguf-file.js'
import { byteLevel, paddingToken, SPACE_MARK, splitPatterns, tokenType } from './tokenizer-kinds.js'
import type { Scalar } from './values.js'

/** Longer tokens than any vocabulary has are not taken apart. */
const LONGEST_TOKEN = 256

/** As many as Tokenizer reads. */
const MOST_TOKENS = 2 ** 24

/** Typed access to the keys of a file's tokenizer. */
class Keys {
  readonly #file: GgufFile

  constructor(file: GgufFile) {
    this.#file = file
  }

  fail(key: string, expected: string): FormatError {
    return new FormatError(`${this.#file.path}: tokenizer.${key} is not ${expected}`)
  }

  get(key: string): Scalar | GgufArray | undefined {
    return this.#file.metadata.get(`tokenizer.${key}`)
  }

  list(key: string, of: 'string' | 'number'): Scalar[] | undefined {
    const found = this.get(key)
    if (found === undefined) return undefined
    if (typeof found !== 'object' || (found.of === 'string') !== (of === 'string') || found.length > MOST_TOKENS)
      throw this.fail(key, `a list of at most ${MOST_TOKENS} ${of}s`)
    return found.items()
  }

  flag(key: string, fallback: boolean): boolean {
    const found = this.get(key)
    return typeof found === 'boolean' ? found : fallback
  }
}

interface Vocabulary {
  tokens: string[]
  types: number[]
}

/**
 * The tokenizer of a file; undefined where it has none.
 * @throws FormatError when it is malformed or of a kind that is not known
 */
export function tokenizerOf(file: GgufFile): Tokenizer | undefined {
  const keys = new Keys(file)
  const model = keys.get('ggml.model')
  if (model === undefined || model === 'no_vocab' || model === 'none') return undefined
  const tokens = keys.list('ggml.tokens', 'string') as string[] | undefined
  if (tokens === undefined) throw keys.fail('ggml.tokens', 'there')
  const types = (keys.list('ggml.token_type', 'number') ?? tokens.map(() => tokenType.normal)) as number[]
  if (types.length !== tokens.length) throw keys.fail('ggml.token_type', 'as long as the tokens')
  const vocabulary = withoutPadding({ tokens, types })
  if (model !== 'gpt2' && model !== 'llama') throw keys.fail('ggml.model', 'gpt2 or llama, which Hearth reads')
  const json = model === 'gpt2' ? byteLevelJson(keys, vocabulary) : sentencePieceJson(keys, vocabulary)
  return Tokenizer.fromJson(json, configOf(keys, tokens), file.path)
}

function withoutPadding({ tokens, types }: Vocabulary): Vocabulary {
  let length = tokens.length
  while (length > 0 && types[length - 1] === tokenType.unused && tokens[length - 1] === paddingToken(length - 1))
    length--
  return { tokens: tokens.slice(0, length), types: types.slice(0, length) }
}

const tokenAt = (keys: Keys, name: string, tokens: readonly string[]): { id: number; token: string } | undefined => {
  const id = keys.get(`ggml.${name}_token_id`)
  const token = typeof id === 'number' ? tokens[id] : undefined
  return token === undefined ? undefined : { id: id as number, token }
}

function configOf(keys: Keys, tokens: readonly string[]): Record<string, unknown> {
  const names = { bos: 'bos_token', eos: 'eos_token', padding: 'pad_token', unknown: 'unk_token' }
  const known = Object.entries(names).flatMap(([name, field]) => {
    const found = tokenAt(keys, name, tokens)
    return found === undefined ? [] : [[field, found.token] as const]
  })
  const template = keys.get('chat_template')
  return { ...Object.fromEntries(known), ...(typeof template === 'string' ? { chat_template: template } : {}) }
}

const flags = { single_word: false, lstrip: false, rstrip: false }

/** Tokens that are matched in the text as a whole. */
function addedTokens({ tokens, types }: Vocabulary, ...more: number[]): object[] {
  const added = [tokenType.control, tokenType.userDefined, ...more]
  return tokens.flatMap((content, id) => {
    if (!added.includes(types[id]!)) return []
    const special = types[id] !== tokenType.userDefined
    return [{ id, content, ...flags, normalized: false, special }]
  })
}

function postProcessor(keys: Keys, tokens: readonly string[], otherwise: object | null): object | null {
  const begin = tokenAt(keys, 'bos', tokens)
  if (begin === undefined || !keys.flag('ggml.add_bos_token', keys.get('ggml.model') === 'llama')) return otherwise
  const special = { SpecialToken: { id: begin.token, type_id: 0 } }
  const text = { Sequence: { id: 'A', type_id: 0 } }
  return {
    type: 'TemplateProcessing',
    single: [special, text],
    pair: [special, text, special, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { [begin.token]: { id: begin.token, ids: [begin.id], tokens: [begin.token] } },
  }
}

function byteLevelJson(keys: Keys, vocabulary: Vocabulary): object {
  const pre = keys.get('ggml.pre') ?? 'default'
  const split = splitPatterns.find(({ names }) => names.some((name) => name === pre))
  if (split === undefined)
    throw keys.fail('ggml.pre', `one of ${splitPatterns.flatMap(({ names }) => names).join(', ')}`)
  const merges = keys.list('ggml.merges', 'string')
  if (merges === undefined) throw keys.fail('ggml.merges', 'there')
  const added = addedTokens(vocabulary)
  const whole = new Set(
    vocabulary.tokens.flatMap((_, id) => (vocabulary.types[id] === tokenType.userDefined ? [id] : [])),
  )
  const kept = vocabulary.tokens.flatMap((token, id) => (whole.has(id) ? [] : [[token, id] as const]))
  const level = { ...byteLevel, use_regex: split.pattern === undefined }
  const cut = { type: 'Split', pattern: { Regex: split.pattern }, behavior: 'Isolated', invert: false }
  return {
    version: '1.0',
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: split.pattern === undefined ? level : { type: 'Sequence', pretokenizers: [cut, level] },
    post_processor: postProcessor(keys, vocabulary.tokens, byteLevel),
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(kept),
      merges,
    },
  }
}

function sentencePieceJson(keys: Keys, vocabulary: Vocabulary): object {
  const scores = keys.list('ggml.scores', 'number') as number[] | undefined
  if (scores === undefined || scores.length < vocabulary.tokens.length)
    throw keys.fail('ggml.scores', 'as long as the tokens')
  const prefix = keys.flag('ggml.add_space_prefix', true)
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: SPACE_MARK }
  const unknown = vocabulary.tokens[vocabulary.types.indexOf(tokenType.unknown)]
  return {
    version: '1.0',
    added_tokens: addedTokens(vocabulary, tokenType.unknown),
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE_MARK }, replace] }
      : replace,
    pre_tokenizer: null,
    post_processor: postProcessor(keys, vocabulary.tokens, null),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE_MARK }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown ?? null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
      merges: mergesByScore(vocabulary, scores),
    },
  }
}

/** Every pair of pieces that makes a piece, the piece of the highest score first; so SentencePiece's BPE chooses. */
function mergesByScore({ tokens, types }: Vocabulary, scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const found: { pair: [string, string]; score: number; parts: [number, number] }[] = []
  for (const [id, token] of tokens.entries()) {
    if (types[id] !== tokenType.normal || token.length > LONGEST_TOKEN) continue
    for (let cut = 1; cut < token.length; cut++) {
      const pair: [string, string] = [token.slice(0, cut), token.slice(cut)]
      const [left, right] = pair.map((part) => ids.get(part))
      if (left !== undefined && right !== undefined) found.push({ pair, score: scores[id]!, parts: [left, right] })
    }
  }
  found.sort((a, b) => b.score - a.score || a.parts[0] - b.parts[0] || a.parts[1] - b.parts[1])
  return found.map(({ pair }) => pair)
}
