// What `hearth score` scores: ids from a JSON file or the ids of a text, and the sum over several sequences. The loss of
// one sequence is hearth/generate's.
import type { Tokenizer } from 'hearth/data'
import { lastLogits, scoreTokens } from 'hearth/generate'
import type { LanguageModel } from 'hearth/models'
import { CommandError } from './failure.js'
import { readInputFile, readTextFile } from './input.js'

export interface ScoreResult {
  /** Nats per token. */
  loss: number
  perplexity: number
  /** Of a text. */
  bitsPerByte?: number
  /** Tokens that were predicted. */
  tokens: number
  /** Of the last position; one array for each sequence where there are several. */
  lastLogits?: number[] | number[][]
}

export interface ScoringOptions {
  /** Bytes of the text behind the ids. */
  bytes: number | undefined
  /** Tokens between the starts of two windows; the model’s context when it is not given. */
  stride: number | undefined
  wantLogits: boolean
}

/**
 * The ids in a JSON file: one array, or several.
 * @throws CommandError when the file holds anything else
 */
export function readIdsFile(path: string): number[][] {
  let parsed: unknown
  try {
    parsed = JSON.parse(readInputFile(path).toString('utf8'))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new CommandError(
      `${path} is not JSON: ${error.message}`,
      'it should hold an array of token ids, as [15, 7, 42]',
    )
  }
  const rows: unknown[] =
    Array.isArray(parsed) && parsed.length > 0 && parsed.every((row) => Array.isArray(row)) ? parsed : [parsed]
  return rows.map((row, i) => {
    const ids: unknown[] = Array.isArray(row) ? row : [row]
    const wrong = ids.find((id) => !Number.isSafeInteger(id) || (id as number) < 0)
    if (!Array.isArray(row) || wrong !== undefined)
      throw new CommandError(
        `${path}: ${JSON.stringify(wrong)} is no token id; expected an array of whole numbers, or an array of such arrays`,
      )
    if (ids.length < 2)
      throw new CommandError(`${path}: array ${i} has ${ids.length} ids; nothing can be predicted with fewer than 2`)
    return ids as number[]
  })
}

/** The ids of a text file, after the token that begins documents. */
export function textSequence(
  path: string,
  { tokenizer, name }: { tokenizer?: Tokenizer | undefined; name: string },
): { sequences: number[][]; bytes: number } {
  if (tokenizer === undefined)
    throw new CommandError(`${name} has no tokenizer.json, so it cannot read text`, 'give token ids: --ids FILE.json')
  const text = readTextFile(path)
  const start = tokenizer.beginOfText ?? tokenizer.endOfText
  const ids = [
    ...(start === undefined ? [] : [start]),
    ...tokenizer.encode(text, { addSpecialTokens: false, recognizeSpecialTokens: false }),
  ]
  if (ids.length < 2) throw new CommandError(`${path} is empty: there is nothing to predict`)
  return { sequences: [ids], bytes: Buffer.byteLength(text) }
}

/**
 * Loss over all sequences, each token but their first predicted once.
 * @throws DataError for an id that the model does not know
 */
export async function scoreSequences(
  model: LanguageModel,
  sequences: readonly number[][],
  { bytes, stride, wantLogits }: ScoringOptions,
): Promise<ScoreResult> {
  const { contextLength } = model.family.shape(model.config)
  let [nats, tokens] = [0, 0]
  for (const ids of sequences) {
    const score = await scoreTokens(model, ids, stride === undefined ? {} : { stride })
    nats += score.nats
    tokens += score.tokens
  }
  const loss = nats / tokens
  const result: ScoreResult = { loss, perplexity: Math.exp(loss), tokens }
  if (bytes !== undefined) result.bitsPerByte = nats / Math.LN2 / bytes
  if (wantLogits) {
    const rows = sequences.map((ids) => Array.from(lastLogits(model, ids.slice(-contextLength))))
    result.lastLogits = rows.length === 1 ? rows[0]! : rows
  }
  return result
}
