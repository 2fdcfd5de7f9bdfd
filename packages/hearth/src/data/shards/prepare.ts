/**
 * From documents to token shards: tokenizes every document, ends it with the end-of-text token and appends it to the
 * training or the held-out split. A folder that is already what is asked for is left alone; an incomplete one is redone.
 */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError, DataError, replaceFile } from '@hearth/torch'
import type { ConfigIssue } from '@hearth/torch'
import { checkSources } from '../documents/checks.js'
import { readFiles } from '../documents/read.js'
import { findSources } from '../documents/sources.js'
import type { SourceFile } from '../documents/sources.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { FORMAT, MANIFEST, readManifest, shardName, VERSION } from './manifest.js'
import type { TokenManifest } from './manifest.js'
import { Splits } from './splits.js'
import type { ManifestHead } from './splits.js'

/** Options of `prepareTokens`. */
export interface PrepareOptions {
  /** Files, folders and globs, as `readDocuments` takes them. */
  sources: string | readonly string[]
  tokenizer: Tokenizer
  /** Folder for the shards; made when it is not there. */
  outDir: string
  /** Column that holds the text in tables. Default `text`. */
  textColumn?: string
  /** Share of the documents held out for measuring, 0 to below 1. Default 0.05. */
  heldOutFraction?: number
  /** Decides which documents are held out. Default 0. */
  seed?: number
  /** Tokens in a shard. Default 2^26: 128 MiB for vocabularies up to 65,536. */
  shardTokens?: number
  /** Called about ten times a second. */
  onProgress?: (progress: PrepareProgress) => void
  signal?: AbortSignal
}

/** How far preparation is. */
export interface PrepareProgress {
  /** Share of the work done, 0 to 1, by the size of files; compressed files count as long as they last. */
  fraction: number
  documents: number
  tokens: number
  textBytes: number
  /** The file being read. */
  source: string
}

/**
 * Prepares a folder of token shards.
 *
 * Held out are whole documents, chosen by the hash of their text. Where that leaves one side without any (a single
 * book), the end of the text is held out instead.
 *
 * @returns the manifest, also when the folder was prepared before from the same files with the same options
 * @throws ConfigError for impossible options, DataError for data that cannot be used; both before work starts
 * @example
 * const manifest = await prepareTokens({ sources: 'books', tokenizer, outDir: 'runs/books/tokens' })
 * console.log(manifest.splits.train.tokens)
 */
export async function prepareTokens(options: PrepareOptions): Promise<TokenManifest> {
  const { tokenizer, outDir } = options
  const settings = readSettings(options)
  const files = await findSources(options.sources)
  const head: ManifestHead = {
    format: FORMAT,
    version: VERSION,
    dtype: tokenizer.vocabSize <= 65536 ? 'uint16' : 'uint32',
    vocabSize: tokenizer.vocabSize,
    endOfText: tokenizer.endOfText!,
    tokenizer: tokenizer.hash,
    options: settings,
    sources: files.map(({ path, bytes, modified }) => ({ path, bytes, modified })),
  }
  const names = await ownFiles(outDir)
  const before = names.includes(MANIFEST) ? await readManifest(outDir).catch(() => undefined) : undefined
  if (before !== undefined && isSame(before, head)) return before
  await checkSources(files, settings.textColumn)
  await mkdir(outDir, { recursive: true })
  // The manifest goes first and comes last: while shards change there is none.
  for (const name of names.sort()) await rm(join(outDir, name))

  let result = await writeSplits(options, head, files)
  const total = result.train.tokens + result.heldout.tokens
  if (total === 0) throw new DataError('the data holds no text: every document is blank')
  const oneSided = settings.heldOutFraction > 0 && (result.train.tokens === 0 || result.heldout.tokens === 0)
  if (oneSided) {
    for (const name of await ownFiles(outDir)) await rm(join(outDir, name))
    result = await writeSplits(options, head, files, Math.ceil(total * (1 - settings.heldOutFraction)))
  }
  const manifest: TokenManifest = { ...head, heldOut: oneSided ? 'end' : 'documents', splits: result }
  replaceFile(join(outDir, MANIFEST), (write) => write(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)))
  return manifest
}

function isSame(before: TokenManifest, head: ManifestHead): boolean {
  const { heldOut: _heldOut, splits: _splits, ...rest } = before
  return JSON.stringify(rest) === JSON.stringify(head)
}

function readSettings(options: PrepareOptions): TokenManifest['options'] {
  const { textColumn = 'text', heldOutFraction = 0.05, seed = 0, shardTokens = 2 ** 26 } = options
  const issues: ConfigIssue[] = []
  const expect = (fits: boolean, path: string, got: unknown, expected: string): void => {
    if (!fits) issues.push({ path, message: `got ${String(got)}; expected ${expected}` })
  }
  const integers = Number.isSafeInteger(seed) && seed >= 0
  expect(heldOutFraction >= 0 && heldOutFraction < 1, 'heldOutFraction', heldOutFraction, 'a number from 0 to below 1')
  expect(integers, 'seed', seed, 'an integer from 0 to 2^53 - 1')
  const lengths = Number.isInteger(shardTokens) && shardTokens >= 1 && shardTokens < 2 ** 30
  expect(lengths, 'shardTokens', shardTokens, 'an integer from 1 to 2^30 - 1')
  expect(textColumn !== '', 'textColumn', "''", 'the name of a column')
  const ends = options.tokenizer.endOfText !== undefined
  expect(ends, 'tokenizer', 'one without an end-of-text token', 'an eos_token in tokenizer_config.json')
  if (issues.length > 0) throw new ConfigError('token preparation', issues)
  return { textColumn, heldOutFraction, seed, shardTokens }
}

/** Our files in a folder. @throws DataError when the folder is somebody else's */
async function ownFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    throw new DataError(`${folder}: cannot be used as a folder for tokens: ${message}`, { cause })
  })
  const own = names.filter((name) => name === MANIFEST || shardName.test(name))
  if (own.length === 0 && names.length > 0) {
    throw new DataError(`${folder}: holds other files (${names.slice(0, 3).join(', ')}) and no tokens`, {
      remedy: 'choose a folder that is empty or not there yet',
    })
  }
  return own
}

/** Writes both splits; `cutAt` as `Splits` takes it. */
async function writeSplits(
  options: PrepareOptions,
  head: ManifestHead,
  files: readonly SourceFile[],
  cutAt?: number,
): Promise<TokenManifest['splits']> {
  const { tokenizer, outDir, signal } = options
  const splits = new Splits(outDir, tokenizer, head, cutAt)
  const progress = new Progress(options, files)
  try {
    for await (const { text, source, part } of readFiles(files, { textColumn: head.options.textColumn, signal })) {
      if (part === 0) splits.begin(text)
      const tokens = splits.write(text)
      progress.add(source, part === 0, tokens, Buffer.byteLength(text))
    }
    return splits.finish()
  } catch (error) {
    splits.abandon()
    throw error
  }
}

/** Counts what was done and reports it about ten times a second. */
class Progress {
  readonly #report: PrepareOptions['onProgress']
  readonly #starts = new Map<string, { before: number; bytes: number }>()
  readonly #total: number
  readonly #state: PrepareProgress = { fraction: 0, documents: 0, tokens: 0, textBytes: 0, source: '' }
  #inFile = 0
  #last = performance.now()

  constructor({ onProgress }: PrepareOptions, files: readonly SourceFile[]) {
    this.#report = onProgress
    let before = 0
    for (const { path, bytes } of files) {
      this.#starts.set(path, { before, bytes })
      before += bytes
    }
    this.#total = before
  }

  add(source: string, isNew: boolean, tokens: number, textBytes: number): void {
    const state = this.#state
    if (source !== state.source) this.#inFile = 0
    this.#inFile += textBytes
    const { before, bytes } = this.#starts.get(source)!
    state.source = source
    state.fraction = (before + Math.min(bytes, this.#inFile)) / this.#total
    state.documents += isNew ? 1 : 0
    state.tokens += tokens
    state.textBytes += textBytes
    if (this.#report === undefined || performance.now() - this.#last < 100) return
    this.#last = performance.now()
    this.#report({ ...state })
  }
}
