// The rows of an adaptation: read, checked and tokenised once, kept in the run's folder, and from there on batches.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '@hearth/torch'
import {
  ChatTemplate,
  prepareReadRows,
  readRows,
  readRowSets,
  RowBatches,
  Tokenizer,
  writeRows,
  type PreparedRows,
  type RowKind,
} from '../data/index.js'
import type { AdaptConfig } from './adapt-config.js'
import type { RunConfig } from './config.js'
import { allOrMistakes } from './mistakes.js'
import type { PrepareTextOptions, TextData } from './text-data.js'

const KINDS: Record<AdaptConfig['objective'], RowKind> = {
  answers: 'single',
  dpo: 'pair',
  orpo: 'pair',
  kto: 'labelled',
}

/** Tokens in one forward pass of a measurement. */
const HELD_OUT_TOKENS = 4096

/** The tokenizer of the model that is adapted, with the template that its rows are written in; the run's own where it has one. */
async function openTokenizer({ tokenizer, model, adapt }: RunConfig, own?: string): Promise<Tokenizer> {
  if (own !== undefined && existsSync(join(own, 'tokenizer.json'))) return Tokenizer.load(own)
  const opened = await Tokenizer.load(tokenizer.path ?? model.folder!)
  if (opened.endOfText === undefined)
    throw new ConfigError('tokenizer', [{ path: 'tokenizer.path', message: 'names no token for the end of a text' }])
  return opened.withChatTemplate(ChatTemplate.choose(adapt!.template, opened).source)
}

/**
 * Reads and tokenises the rows that a configuration names.
 * @throws DataError, ConfigError listing everything that is wrong with them
 */
export async function readRunRows(config: RunConfig): Promise<{ tokenizer: Tokenizer; rows: PreparedRows }> {
  const { adapt, data, sequenceLength } = config
  const { objective, template, roles, lastTurnOnly, endOfTurn, trainOnPrompt } = adapt!
  const [tokenizer, read] = await allOrMistakes([
    () => openTokenizer(config),
    () => readRows(data.sources.map(({ path }) => path)),
  ] as const)
  const rows = prepareReadRows(read, {
    tokenizer,
    template: ChatTemplate.choose(template, tokenizer),
    ...{ roles, lastTurnOnly, endOfTurn, trainOnPrompt, sequenceLength },
    heldOutFraction: data.heldOutFraction,
    kind: KINDS[objective],
  })
  return { tokenizer, rows }
}

/** The rows of a run: its own copy when there is one. */
export async function prepareRowData(
  config: RunConfig,
  folder: string,
  { report }: PrepareTextOptions,
): Promise<TextData> {
  const path = join(folder, 'rows.safetensors')
  const own = join(folder, 'tokenizer')
  if (!existsSync(path)) {
    report({ kind: 'phase', phase: 'tokens', detail: config.data.sources.map((source) => source.path).join(', ') })
    const { tokenizer, rows } = await readRunRows(config)
    await tokenizer.save(own)
    writeRows(path, rows)
  }
  const tokenizer = await openTokenizer(config, own)
  const { train, heldOut, hash } = readRowSets(path)
  const { batch, sequenceLength, seed, adapt } = config
  const sizes = { batch, sequenceLength, seed, packing: adapt!.packing }
  const measured = heldOut.rows > 0 ? new RowBatches(heldOut, sizes) : undefined
  const rows = Math.max(2, Math.floor(HELD_OUT_TOKENS / sequenceLength))
  return {
    tokenizer,
    batches: new RowBatches(train, sizes),
    *heldOut() {
      if (measured) yield* measured.inOrder(rows)
    },
    heldOutTokens: heldOut.trainedTokens,
    hash,
    bytesPerToken: undefined,
  }
}
