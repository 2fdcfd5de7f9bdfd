// From files of rows to tokens for a run, with everything that would make a training useless found before it starts: rows
// without a trained token, an end of text that is never trained, rows cut so short that nothing is left.
import { ConfigError, DataError, HearthError } from '@hearth/torch'
import type { ChatTemplate } from '../chat-template.js'
import { isHeldOut } from '../shards/held-out-documents.js'
import { TEMPLATE_NAMES, unknownNames } from '../template-names.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { readRows, type ReadRows } from './read-rows.js'
import { RowProblems } from './row-problems.js'
import { RowSet, type RowKind, type SplitRows } from './row-set.js'
import type { Row, ShapeName } from './shapes.js'
import { tokeniseRow, type Example, type MaskOptions } from './tokenise.js'

export interface PrepareRowsOptions extends MaskOptions {
  tokenizer: Tokenizer
  /** Tokens that a row has room for: what is beyond is cut off. */
  sequenceLength: number
  /** Share of the rows kept for measuring, chosen by their hash. @default 0.05 */
  heldOutFraction?: number
  /** What the rows must be for; whatever they are when it is not given. */
  kind?: RowKind
}

export interface PreparedRows extends Omit<SplitRows, 'hash'> {
  shape: ShapeName
  /** Rows that were longer than a sequence, and were cut. */
  cut: number
  /** Rows of which nothing that is trained on was left, and which are not used. */
  dropped: number
}

const KINDS: Readonly<Record<Row['kind'], RowKind>> = {
  text: 'single',
  completion: 'single',
  chat: 'single',
  preference: 'pair',
  labelled: 'labelled',
}

const NEEDS: Readonly<Record<RowKind, string>> = {
  single: 'texts, conversations or prompts with completions',
  pair: 'pairs (chosen, rejected)',
  labelled: 'rows with a label (prompt, completion, label)',
}

const SPLIT_SEED = 0

/**
 * Reads, tokenises and checks.
 * @throws DataError listing every file, row and field that is wrong; when no token would be trained on; when no end of
 * text would be
 * @throws ConfigError when the rows are not what the objective needs
 */
export async function prepareRows(options: PrepareRowsOptions & { sources: readonly string[] }): Promise<PreparedRows> {
  return prepareReadRows(await readRows(options.sources), options)
}

/**
 * The same for rows that were read.
 * @throws as prepareRows()
 */
export function prepareReadRows({ rows, places, shape }: ReadRows, options: PrepareRowsOptions): PreparedRows {
  const { tokenizer, heldOutFraction = 0.05, sequenceLength, template } = options
  const kind = KINDS[rows[0]!.kind]
  if (options.kind !== undefined && options.kind !== kind)
    throw new ConfigError('rows', [
      { path: 'data', message: `holds ${NEEDS[kind]} (${shape}), but the objective needs ${NEEDS[options.kind]}` },
    ])
  if (rows.some((row) => isChat(row))) refuseUnknownNames(template)
  const examples = tokeniseAll(rows, places, options)
  const kept = examples.map((example) => withRoom(example, sequenceLength))
  const used = kept.map(({ left }) => left)
  checkTrained(used, kept, options)
  const sides = used.map((_, i) => isHeldOut(JSON.stringify(rows[i]), heldOutFraction, SPLIT_SEED))
  // A handful of rows may all fall on one side.
  const usable = used.flatMap((use, i) => (use ? [i] : []))
  if (usable.length > 1 && heldOutFraction > 0 && !usable.some((i) => sides[i])) sides[usable.at(-1)!] = true
  if (usable.every((i) => sides[i])) sides[usable[0]!] = false
  const side = (heldOut: boolean) =>
    RowSet.of(
      kind,
      usable.filter((i) => sides[i] === heldOut).map((i) => kept[i]!.example),
    )
  return {
    train: side(false),
    heldOut: side(true),
    shape,
    cut: kept.filter(({ cut }) => cut).length,
    dropped: used.filter((use) => !use).length,
    facts: { shape, tokenizer: tokenizer.hash, template: template.source },
  }
}

/** Whether its tokens are a template's. */
function isChat(row: Row): boolean {
  if (row.kind === 'text' || row.kind === 'completion') return false
  return row.kind === 'chat' || [row.prompt, 'chosen' in row ? row.chosen : row.completion].some(Array.isArray)
}

/** What a template refers to and is not there would be left out of every row in silence. */
function refuseUnknownNames({ name, source }: ChatTemplate): void {
  const unknown = unknownNames(source)
  if (unknown.length === 0) return
  const message = `the chat template (${name}) refers to ${unknown.join(', ')}, which ${unknown.length === 1 ? 'is' : 'are'} not there; there are ${TEMPLATE_NAMES.join(', ')}`
  throw new ConfigError('chat template', [{ path: 'template', message }])
}

function tokeniseAll(
  rows: readonly Row[],
  places: readonly string[],
  { tokenizer, ...options }: PrepareRowsOptions,
): Example[] {
  const problems = new RowProblems()
  const examples = rows.flatMap((row, i) => {
    try {
      return [tokeniseRow(row, tokenizer, options)]
    } catch (error) {
      if (!(error instanceof HearthError)) throw error
      problems.add(places[i]!, error.message.split('\n')[0]!)
      return []
    }
  })
  problems.throwIfAny()
  return examples
}

interface Fitted {
  example: Example
  cut: boolean
  /** Every sequence has a trained token that follows something. */
  left: boolean
  endCut: boolean
}

function withRoom(example: Example, sequenceLength: number): Fitted {
  const length = sequenceLength + 1
  const cut = example.sequences.some(({ ids }) => ids.length > length)
  const sequences = example.sequences.map(({ ids, trained }) => ({
    ids: ids.subarray(0, length),
    trained: trained.subarray(0, length),
  }))
  const left = sequences.every(({ trained }) => trained.indexOf(1, 1) > 0)
  return { example: { ...example, sequences }, cut, left, endCut: cut }
}

function checkTrained(
  used: readonly boolean[],
  kept: readonly Fitted[],
  { endOfTurn = 'all', sequenceLength }: PrepareRowsOptions,
): void {
  if (!used.some(Boolean)) {
    const wereCut = kept.some(({ cut }) => cut)
    throw new DataError(`no token of ${kept.length} rows would be trained on`, {
      remedy: wereCut
        ? `prompts fill the ${sequenceLength} tokens of a sequence: give sequenceLength more`
        : 'see which tokens are trained on with hearth adapt --preview; roles and templates decide it',
    })
  }
  const ends = kept.some(({ example, left, endCut }) => left && example.endTrained && !endCut)
  if (endOfTurn === 'none' || ends) return
  const allCut = kept.every(({ cut }) => cut)
  throw new DataError('no token that ends a text or a turn would be trained on: the model would never learn to stop', {
    remedy: allCut
      ? `every row is longer than sequenceLength (${sequenceLength}): give it more`
      : 'choose a template that ends turns with a special token (plain does), or say that you want this: rows.endOfTurn=none',
  })
}
