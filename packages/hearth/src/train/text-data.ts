// The text of a run: documents become a tokenizer and token shards in the run's folder, and those become batches.
// What is there already is reused, so that resuming costs nothing and never depends on the sources again.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, DataError, HearthError } from '@hearth/torch'
import { sha256 } from '../checkpoint/index.js'
import {
  checkDocuments,
  createLoader,
  heldOutBatches,
  isHeldOut,
  prepareTokens,
  readDocuments,
  readManifest,
  Tokenizer,
  TokenShards,
  trainByteLevelBpe,
  type TextBatch,
  type TokenManifest,
} from '../data/index.js'
import type { RunConfig } from './config.js'
import { allOrMistakes } from './mistakes.js'
import { prepareRowData, readRunRows } from './row-data.js'
import type { Report } from './run-events.js'
import type { StepBatches } from './slots.js'

export interface TextData {
  tokenizer: Tokenizer
  batches: StepBatches<TextBatch>
  /** Each held-out token once, in order. */
  heldOut(): Iterable<TextBatch>
  heldOutTokens: number
  /** Names the tokens that are trained on. */
  hash: string
  /** Bytes of held-out text for each of its tokens; undefined when nothing is held out. */
  bytesPerToken: number | undefined
}

export interface PrepareTextOptions {
  report: Report
  signal?: AbortSignal
}

/** Decides with a document's hash on which side it falls; the same for every run, so that runs can be compared. */
const SPLIT_SEED = 0
/** Tokens in one forward pass of a measurement: enough to keep the processor busy, few enough to fit beside training. */
const HELD_OUT_TOKENS = 4096

/**
 * Looks at every source before any work starts.
 * @throws DataError listing everything that is wrong with them
 */
export async function checkTextSources(config: RunConfig): Promise<void> {
  const { data, tokenizer } = config
  if (config.adapt !== undefined) {
    await readRunRows(config)
    return
  }
  await allOrMistakes([
    ...data.sources.map(
      ({ path, textColumn }) =>
        () =>
          checkDocuments([path], { textColumn }),
    ),
    async () => tokenizer.path !== undefined && (await Tokenizer.load(tokenizer.path)),
  ])
}

/**
 * Tokenizer, token shards and loaders of a run.
 * @param folder the run's
 * @throws DataError for text that cannot be used, ConfigError for sizes that do not fit it
 */
export async function prepareText(config: RunConfig, folder: string, options: PrepareTextOptions): Promise<TextData> {
  if (config.adapt !== undefined) return await prepareRowData(config, folder, options)
  const tokenizer = await tokenizerOf(config, join(folder, 'tokenizer'), options)
  const folders: string[] = []
  for (const index of config.data.sources.keys())
    folders.push(await tokensOf(config, index, folder, tokenizer, options))
  const train = await Promise.all(folders.map((path) => TokenShards.open(path, 'train')))
  const heldOut = (await Promise.all(folders.map((path) => TokenShards.open(path, 'heldout')))).filter(
    (shards) => shards.tokens > 1,
  )
  const total = (of: 'tokens' | 'textBytes') => heldOut.reduce((sum, shards) => sum + shards[of], 0)
  const { batch, sequenceLength, seed } = config
  const datasets = train.map((shards, i) => ({
    shards,
    ...weightOf(config, i),
  }))
  const sizes = { batch: Math.max(1, Math.floor(HELD_OUT_TOKENS / sequenceLength)), sequenceLength }
  return {
    tokenizer,
    batches: createLoader({ datasets, batch, sequenceLength, seed }),
    *heldOut() {
      for (const shards of heldOut) yield* heldOutBatches(shards, sizes)
    },
    hash: sha256(Buffer.from(JSON.stringify(train.map(({ manifest }) => contentsOf(manifest))))),
    heldOutTokens: total('tokens'),
    bytesPerToken: heldOut.length === 0 ? undefined : total('textBytes') / total('tokens'),
  }
}

/** What the tokens are, wherever they came from. */
const contentsOf = ({ dtype, tokenizer, splits }: TokenManifest) => ({
  dtype,
  tokenizer,
  tokens: splits.train.shards.map((shard) => shard.sha256),
})

/** Its share as configured; by its number of tokens when it is not. */
function weightOf(config: RunConfig, index: number): { weight?: number } {
  const { weight } = config.data.sources[index]!
  return weight === undefined ? {} : { weight }
}

/** The run's own copy when there is one; else the one that is named; else one trained on the training documents. */
async function tokenizerOf(
  config: RunConfig,
  folder: string,
  { report, signal }: PrepareTextOptions,
): Promise<Tokenizer> {
  if (existsSync(join(folder, 'tokenizer.json'))) return Tokenizer.load(folder)
  const { path, vocabularySize } = config.tokenizer
  report({ kind: 'phase', phase: 'tokenizer', detail: path ?? `training a byte-level BPE of ${vocabularySize} tokens` })
  const tokenizer =
    path === undefined
      ? await trainByteLevelBpe(trainingTexts(config, signal), {
          vocabSize: vocabularySize,
          onProgress: ({ vocabSize }) =>
            report({ kind: 'phase', phase: 'tokenizer', done: vocabSize, of: vocabularySize }),
          ...(signal && { signal }),
        })
      : await Tokenizer.load(path)
  if (tokenizer.endOfText === undefined)
    throw new ConfigError('tokenizer', [
      { path: 'tokenizer.path', message: `${path} names no token for the end of a text` },
    ])
  await tokenizer.save(folder)
  return tokenizer
}

/** The documents that are trained on: a tokenizer that knew the held-out ones would flatter the measurement. */
async function* trainingTexts({ data }: RunConfig, signal?: AbortSignal): AsyncGenerator<string> {
  for (const { path, textColumn, heldOutFraction = data.heldOutFraction } of data.sources) {
    let skipping = false
    for await (const { text, part } of readDocuments([path], { textColumn, ...(signal && { signal }) })) {
      if (part === 0) skipping = isHeldOut(text, heldOutFraction, SPLIT_SEED)
      if (!skipping) yield text
    }
  }
}

/** The folder with the token shards of one source. */
async function tokensOf(
  config: RunConfig,
  index: number,
  folder: string,
  tokenizer: Tokenizer,
  options: PrepareTextOptions,
): Promise<string> {
  const { report, signal } = options
  const { path, textColumn, heldOutFraction = config.data.heldOutFraction } = config.data.sources[index]!
  const outDir = join(config.data.folder ?? join(folder, 'tokens'), String(index))
  // A folder of the run's own is what the run was trained on, whatever became of the sources.
  if (config.data.folder === undefined && existsSync(join(outDir, 'manifest.json'))) {
    await checkOwnTokens(outDir, tokenizer)
    return outDir
  }
  report({ kind: 'phase', phase: 'tokens', detail: path })
  await prepareTokens({
    sources: [path],
    tokenizer,
    outDir,
    textColumn,
    heldOutFraction,
    seed: SPLIT_SEED,
    onProgress: ({ fraction }) => report({ kind: 'phase', phase: 'tokens', done: fraction, of: 1 }),
    ...(signal && { signal }),
  })
  return outDir
}

/** @throws DataError when the tokens of a run are damaged, or are not of its tokenizer */
async function checkOwnTokens(folder: string, tokenizer: Tokenizer): Promise<void> {
  const remedy = `rm -r ${folder}, and resume: they are made once more, from sources that must be as they were`
  const manifest = await readManifest(folder).catch((cause: unknown) => {
    if (!(cause instanceof HearthError)) throw cause
    throw new DataError(`the tokens of this run are damaged: ${cause.message.split('\n')[0]!}`, { cause, remedy })
  })
  if (manifest.tokenizer !== tokenizer.hash)
    throw new DataError(`${folder}: these tokens were made by another tokenizer than the run has now`, {
      remedy: 'put back the tokenizer of the run, or start a new one',
    })
}
