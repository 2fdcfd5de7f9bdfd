/**
 * A tokenizer as Hugging Face's tokenizer.json defines it, checked and turned into maps. Reads what every kind of
 * tokenizer has: vocabulary, added tokens, special tokens around a text. Not here: encoding (codec.ts, library-codec.ts).
 */
import { FormatError } from '@hearth/torch'

/** A token matched in the text as a whole, before anything else. */
export interface AddedToken {
  id: number
  content: string
  /** Controls the model (end of text, ...), is not part of what people write. */
  special: boolean
  /** Matched in the normalised text, not in the text as given. */
  normalized: boolean
  /** Matched without regard to its surroundings: neither whole-word only nor taking spaces along. */
  plain: boolean
}

/** An object read from JSON. */
export type Json = Record<string, unknown>

/** What a tokenizer.json says. */
export interface TokenizerDefinition {
  /** Where it was read from, for messages. */
  where: string
  json: Json
  model: Json
  vocabulary: ReadonlyMap<string, number>
  tokens: ReadonlyMap<number, string>
  addedTokens: readonly AddedToken[]
  /** Ids that the post-processor puts in front of a text and behind it. */
  before: readonly number[]
  after: readonly number[]
  /** Rows that an embedding needs: the largest id and one. */
  vocabularySize: number
}

const LARGEST_ID = 2 ** 24
const models: readonly unknown[] = ['BPE', 'Unigram', 'WordPiece', 'WordLevel']

/** Whether a JSON value is an object (neither null nor a list). */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Checks a parsed tokenizer.json.
 *
 * @throws FormatError when it is not a tokenizer.json, or contradicts itself
 */
export function parseDefinition(json: unknown, where: string): TokenizerDefinition {
  if (!isObject(json) || !isObject(json.model)) {
    throw new FormatError(`${where}: not a tokenizer.json: expected an object with the field "model"`, {
      remedy: 'give a Hugging Face folder or its tokenizer.json; a vocab.json or tokenizer.model alone is not enough',
    })
  }
  const { type } = json.model
  if (type !== undefined && !models.includes(type)) {
    fail(where, `model of unknown type ${JSON.stringify(type)}; known are ${models.join(', ')}`)
  }
  const vocabulary = readVocabulary(json.model, where)
  const addedTokens = readAddedTokens(json.added_tokens ?? [], where)
  const tokens = new Map<number, string>()
  for (const [token, id] of vocabulary) {
    const other = tokens.get(id)
    if (other !== undefined) fail(where, `tokens ${JSON.stringify(other)} and ${JSON.stringify(token)} share id ${id}`)
    tokens.set(id, token)
  }
  for (const { id, content } of addedTokens) tokens.set(id, content)
  const { before, after } = readPostProcessor(json.post_processor, where)
  let largest = -1
  for (const id of tokens.keys()) largest = Math.max(largest, id)
  for (const id of [...before, ...after]) if (!tokens.has(id)) fail(where, `post_processor adds unknown id ${id}`)
  return { where, json, model: json.model, vocabulary, tokens, addedTokens, before, after, vocabularySize: largest + 1 }
}

function fail(where: string, what: string): never {
  throw new FormatError(`${where}: malformed tokenizer.json: ${what}`, {
    remedy: 'fetch the file again from its source',
  })
}

function readId(id: unknown, what: string, where: string): number {
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < LARGEST_ID) return id
  return fail(where, `${what} has id ${JSON.stringify(id)}; expected an integer from 0 to ${LARGEST_ID - 1}`)
}

/** `vocab` is an object token → id for BPE, WordPiece and WordLevel, and a list of [piece, score] for Unigram. */
function readVocabulary(model: Json, where: string): Map<string, number> {
  const vocabulary = new Map<string, number>()
  if (Array.isArray(model.vocab)) {
    model.vocab.forEach((entry: unknown, id) => {
      const piece: unknown = Array.isArray(entry) ? entry[0] : undefined
      if (typeof piece !== 'string') fail(where, `model.vocab[${id}] is not a pair of piece and score`)
      if (!vocabulary.has(piece)) vocabulary.set(piece, id)
    })
  } else if (isObject(model.vocab)) {
    for (const [token, id] of Object.entries(model.vocab)) {
      vocabulary.set(token, readId(id, `token ${JSON.stringify(token)}`, where))
    }
  } else {
    fail(where, 'model.vocab is missing')
  }
  if (vocabulary.size === 0) fail(where, 'model.vocab is empty')
  return vocabulary
}

function readAddedTokens(list: unknown, where: string): AddedToken[] {
  if (!Array.isArray(list)) return fail(where, 'added_tokens is not a list')
  return list.map((entry: unknown, index) => {
    if (!isObject(entry) || typeof entry.content !== 'string' || entry.content === '') {
      return fail(where, `added_tokens[${index}] has no content`)
    }
    return {
      id: readId(entry.id, `added_tokens[${index}]`, where),
      content: entry.content,
      special: entry.special === true,
      normalized: entry.normalized !== false,
      plain: entry.single_word !== true && entry.lstrip !== true && entry.rstrip !== true,
    }
  })
}

interface Surround {
  before: number[]
  after: number[]
}

function readPostProcessor(processor: unknown, where: string): Surround {
  if (processor === undefined || processor === null) return { before: [], after: [] }
  if (!isObject(processor)) return fail(where, 'post_processor is not an object')
  switch (processor.type) {
    case 'ByteLevel':
      return { before: [], after: [] }
    case 'TemplateProcessing':
      return readTemplate(processor, where)
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const { cls, sep } = processor
      if (!Array.isArray(cls) || !Array.isArray(sep)) return fail(where, 'post_processor has no cls or sep')
      return { before: [readId(cls[1], 'cls', where)], after: [readId(sep[1], 'sep', where)] }
    }
    case 'Sequence': {
      const processors: unknown[] = Array.isArray(processor.processors) ? processor.processors : []
      return processors.reduce<Surround>(
        (inner, one) => {
          const { before, after } = readPostProcessor(one, where)
          return { before: [...before, ...inner.before], after: [...inner.after, ...after] }
        },
        { before: [], after: [] },
      )
    }
    default:
      return fail(where, `post_processor of unknown type ${JSON.stringify(processor.type)}`)
  }
}

/** `single` lists special tokens and the place of the text: `[{ SpecialToken: { id: '<s>' } }, { Sequence: … }]`. */
function readTemplate(processor: Json, where: string): Surround {
  const surround: Surround = { before: [], after: [] }
  const special = isObject(processor.special_tokens) ? processor.special_tokens : {}
  let side = surround.before
  for (const piece of Array.isArray(processor.single) ? (processor.single as unknown[]) : []) {
    if (isObject(piece) && isObject(piece.SpecialToken)) {
      const name = piece.SpecialToken.id
      const entry = typeof name === 'string' && Object.hasOwn(special, name) ? special[name] : undefined
      if (!isObject(entry) || !Array.isArray(entry.ids)) fail(where, `post_processor names no ids for ${String(name)}`)
      for (const id of entry.ids as unknown[]) side.push(readId(id, String(name), where))
    } else {
      side = surround.after
    }
  }
  return surround
}
