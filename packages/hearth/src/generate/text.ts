// Text after text: a prompt is encoded, tokens are generated and decoded as they come. What is yielded never ends inside
// a character and never holds a stop string, or part of one.
import { ConfigError, DataError } from '@hearth/torch'
import type { StreamDecoder, Tokenizer } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { endTokensOf, generate, type Ending, type GenerateOptions } from './generate.js'
import { generationIssues } from './settings.js'
import { StopStrings } from './stop-strings.js'

export interface GenerateTextOptions extends GenerateOptions {
  /** The text ends before the first of these that occurs in it. */
  stop?: readonly string[]
}

/** What generation needs of a tokenizer. */
export type TextCodec = Pick<Tokenizer, 'encode' | 'streamDecoder' | 'endOfText' | 'beginOfText'>

/**
 * Generates the text that follows a prompt, in pieces as they come. The end-of-text token is the tokenizer's besides
 * those of the model's configuration, unless `eosId` says otherwise.
 * @param prompt a text, or the ids of one; an empty text starts from the token that begins (or else ends) texts
 * @returns yields pieces of text; the generator's return value says how it ended
 * @throws ConfigError, DataError as generate(), before anything is computed
 * @example
 * for await (const piece of generateText(model, tokenizer, 'Call me', { stop: ['.'] })) process.stdout.write(piece)
 */
export function generateText(
  model: LanguageModel,
  tokenizer: TextCodec,
  prompt: string | ArrayLike<number>,
  options: GenerateTextOptions = {},
): AsyncGenerator<string, Ending, void> {
  const issues = generationIssues(options)
  if (issues.length > 0) throw new ConfigError('generation', issues)
  const ids = typeof prompt === 'string' ? encodePrompt(tokenizer, prompt) : prompt
  const eosId = options.eosId ?? [...endTokensOf(model), tokenizer.endOfText].filter((id) => id !== undefined)
  const tokens = generate(model, ids, { ...options, eosId })
  return piecesOf(tokens, tokenizer.streamDecoder(), options.stop ?? [], ids.length)
}

async function* piecesOf(
  tokens: AsyncGenerator<number, Ending, void>,
  decoder: StreamDecoder,
  stop: readonly string[],
  promptTokens: number,
): AsyncGenerator<string, Ending, void> {
  const stops = new StopStrings(stop)
  const ending: Ending = { reason: 'stop', promptTokens, tokens: 0 }
  try {
    for (;;) {
      const next = await tokens.next()
      if (!next.done) ending.tokens++
      let text = stops.push(next.done ? decoder.end() : decoder.push(next.value))
      if (next.done) text += stops.end()
      if (text !== '') yield text
      if (stops.found !== undefined) return ending
      if (next.done) return next.value
    }
  } finally {
    // Frees the cache when the text ended before the tokens did, or when the caller left.
    await tokens.return(ending)
  }
}

/** generateText() as one string. */
export async function completeText(
  model: LanguageModel,
  tokenizer: TextCodec,
  prompt: string | ArrayLike<number>,
  options: GenerateTextOptions = {},
): Promise<Ending & { text: string }> {
  const pieces = generateText(model, tokenizer, prompt, options)
  let text = ''
  for (;;) {
    const next = await pieces.next()
    if (next.done) return { ...next.value, text }
    text += next.value
  }
}

function encodePrompt(tokenizer: TextCodec, prompt: string): ArrayLike<number> {
  const ids = tokenizer.encode(prompt)
  if (ids.length > 0) return ids
  const first = tokenizer.beginOfText ?? tokenizer.endOfText
  if (first !== undefined) return [first]
  throw new DataError('the prompt is empty, and the tokenizer has no token that begins a text', {
    remedy: 'give a prompt of at least one character',
  })
}
