// What a request gives to read, as ids that the model can read: checked, and short enough. Nothing is cut off in silence.
import type { Tokenizer } from '../data/index.js'
import { badRequest } from './api-error.js'
import type { ServedModel } from './catalog.js'

/** Characters of the longest token, of each tokenizer once. */
const longest = new WeakMap<Tokenizer, number>()

function longestToken(tokenizer: Tokenizer): number {
  const known = longest.get(tokenizer)
  if (known !== undefined) return known
  let length = 1
  for (let id = 0; id < tokenizer.vocabSize; id++) length = Math.max(length, tokenizer.token(id)?.length ?? 0)
  longest.set(tokenizer, length)
  return length
}

/** Ids of a text or of ids. */
export interface PromptOptions {
  /** Put the tokenizer's own special tokens around a text. @default true */
  addSpecialTokens?: boolean
  /** The field of the request, for messages. */
  param?: string
}

/**
 * @throws ApiError 400 for ids that the model does not have, an empty prompt where no token begins texts, and a prompt that
 * does not leave room for one more token
 */
export function promptIds(
  model: ServedModel,
  prompt: string | readonly number[],
  options: PromptOptions = {},
): number[] {
  const { param = 'prompt', addSpecialTokens = true } = options
  const { contextLength } = model.facts
  if (typeof prompt !== 'string') {
    checkRange(model, prompt, param)
    if (prompt.length > contextLength) throw tooLong(prompt.length, 0, contextLength, param)
    return [...prompt]
  }
  // So long that no tokenizer could make it fit: it is not even encoded.
  if (prompt.length > (contextLength + 1) * longestToken(model.tokenizer))
    throw tooLong(Math.ceil(prompt.length / longestToken(model.tokenizer)), 0, contextLength, param)
  const ids = [...model.tokenizer.encode(prompt, { addSpecialTokens })]
  if (ids.length > contextLength) throw tooLong(ids.length, 0, contextLength, param)
  if (ids.length > 0) return ids
  const { beginOfText = model.tokenizer.endOfText } = model.tokenizer
  if (beginOfText === undefined) throw badRequest('is empty, and this model has no token that begins a text', param)
  return [beginOfText]
}

function checkRange({ facts, name }: ServedModel, ids: readonly number[], param: string): void {
  const wrong = ids.find((id) => id >= facts.vocabularySize)
  if (wrong !== undefined)
    throw badRequest(`${wrong} is not in the vocabulary of ${name}, which has ${facts.vocabularySize} tokens`, param)
}

/**
 * Tokens that may be written after a prompt.
 * @param asked undefined: as many as there is room for
 * @throws ApiError 400 `context_length_exceeded` when they do not fit
 */
export function roomFor(model: ServedModel, promptTokens: number, asked: number | undefined, param = 'prompt'): number {
  const { contextLength } = model.facts
  const room = contextLength - promptTokens
  if (asked !== undefined ? asked > room : room < 1) throw tooLong(promptTokens, asked ?? 1, contextLength, param)
  return asked ?? room
}

function tooLong(prompt: number, written: number, contextLength: number, param: string) {
  const asked = written === 0 ? `${prompt} tokens or more` : `${prompt} tokens, and ${written} are to be written`
  return badRequest(
    `this model's context has ${contextLength} tokens; the prompt has ${asked}. Shorten it, or ask for fewer tokens`,
    param,
    'context_length_exceeded',
  )
}
