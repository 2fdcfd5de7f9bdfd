// What `hearth adapt --preview` shows: the tokens of the first rows, those that are trained on in colour (in brackets where
// there is none), and the counts.
import type { MarkedTokens, PreparedRows, RowSet, Tokenizer } from 'hearth/data'
import type { RunConfig } from 'hearth/train'
import { formatCount } from './format.js'
import { table } from './table.js'
import { withoutControls, type Terminal } from './terminal.js'

const SHOWN = 3

interface Prepared {
  tokenizer: Tokenizer
  rows: PreparedRows
}

export function printPreview(
  terminal: Terminal,
  config: RunConfig,
  { tokenizer, rows }: Prepared,
  json: boolean,
): void {
  const { train, heldOut, shape, cut, dropped } = rows
  const counts = {
    shape,
    rows: train.rows,
    heldOutRows: heldOut.rows,
    tokens: train.tokens,
    trainedTokens: train.trainedTokens,
    longest: longestOf(train),
    cut,
    dropped,
  }
  if (json) {
    terminal.json(counts)
    return
  }
  for (let i = 0; i < Math.min(SHOWN * (train.kind === 'pair' ? 2 : 1), train.sequences); i++)
    terminal.print(
      `${terminal.colors.bold(titleOf(train, i))}\n${shownTokens(train.sequence(i), tokenizer, terminal)}\n`,
    )
  const share = ((100 * train.trainedTokens) / train.tokens).toFixed(1)
  terminal.print(
    table([
      ['rows', `${train.rows} to train on, ${heldOut.rows} held out (shape: ${shape})`],
      [
        'tokens',
        `${formatCount(train.tokens)}, of which ${formatCount(train.trainedTokens)} are trained on (${share}%)`,
      ],
      ['longest', `${counts.longest} tokens; a sequence has ${config.sequenceLength}`],
      ['cut, left out', `${cut} rows are cut, ${dropped} have nothing left to train on`],
    ]),
  )
}

const longestOf = (set: RowSet): number =>
  Array.from({ length: set.sequences }, (_, i) => set.sequence(i).ids.length).reduce((a, b) => Math.max(a, b), 0)

function titleOf(set: RowSet, index: number): string {
  if (set.kind === 'pair') return `pair ${Math.floor(index / 2) + 1}, ${index % 2 === 0 ? 'chosen' : 'rejected'}`
  return `row ${index + 1}${set.kind === 'labelled' ? (set.label(index) ? ', wanted' : ', unwanted') : ''}`
}

/** Neighbours with the same mark together, so that characters of several tokens stay whole. */
function shownTokens({ ids, trained }: MarkedTokens, tokenizer: Tokenizer, { colors }: Terminal): string {
  let text = ''
  for (let start = 0, end: number; start < ids.length; start = end) {
    end = start + 1
    while (end < ids.length && trained[end] === trained[start]) end++
    const piece = withoutControls(tokenizer.decode(ids.subarray(start, end), { skipSpecialTokens: false }))
    if (!trained[start]) text += colors.dim(piece)
    else text += colors.isColorSupported ? colors.green(piece) : `[${piece}]`
  }
  return text
}
