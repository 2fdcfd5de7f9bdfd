// A run from its copy, on a new machine or in place of what was lost: checkpoints that are whole, the run's own tokens and
// tokenizer, all verified. Its config.json comes last: a folder without it is no run yet, and is made again.
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { CheckpointError, FormatError, HearthError, replaceFile } from '@hearth/torch'
import { copyFile, fetchNewest, findLatest, folderStore, openPlace, realStorage } from '../../checkpoint/index.js'
import type { CopyStore, FetchOptions, Place } from '../../checkpoint/index.js'
import { verifyTokens } from '../../data/index.js'
import type { RunConfig } from '../config.js'
import type { Report } from '../run-events.js'
import { isLockFile, lockFolder } from '../run-folder-lock.js'
import { makeDurableFolder, readRun, runPaths } from '../run-folder.js'
import { placesOf } from './run-copies.js'
import { CONFIG, METRICS, readIfThere, TOKENIZER, TOKENS, TOKENS_MANIFEST } from './run-files.js'

const PARTS = [CONFIG, METRICS, TOKENIZER, TOKENS, 'checkpoints']

/**
 * Brings a run back from one of its copies. A run that is there already gets the checkpoint of the copy when that is
 * newer than its own.
 * @param place the run's own folder in the place, as `s3://bucket/prefix/NAME`
 * @param dir the run's folder: new, empty, or that of the same run
 * @throws HearthError when there is no run in the place, or another one in the folder; CheckpointError when the place
 * cannot be read, or none of its checkpoints is whole
 * @example
 * await restoreRun({ to: 's3://runs/spark' }, 'runs/spark', { report })
 * await resumeRun('runs/spark')
 */
export async function restoreRun(place: Place, dir: string, { report }: { report: Report }): Promise<void> {
  const store = await openPlace(place)
  const folder = resolve(dir)
  const config = await readIfThere(store, CONFIG)
  if (config === undefined)
    throw new HearthError(`${store.name} holds no run: it has no ${CONFIG}`, {
      remedy: 'give the folder of the run in the place, as s3://bucket/prefix/NAME',
    })
  refuseOthers(config, store, folder)
  makeDurableFolder(folder)
  const unlock = lockFolder(folder)
  try {
    report({ kind: 'phase', phase: 'fetching', detail: store.name })
    await fetchCheckpoint([store], folder, report)
    await fetchFiles(store, folder)
    if (!existsSync(join(folder, CONFIG))) replaceFile(join(folder, CONFIG), (write) => write(config))
  } finally {
    unlock()
  }
}

/**
 * The newest whole checkpoint of the run's copies, for a run that goes on and has none of its own.
 * @throws CheckpointError when none can be had although there may be some
 */
export async function fetchMissing(folder: string, config: RunConfig, report: Report): Promise<void> {
  const { checkpoints } = runPaths(folder)
  if (config.copies.length === 0 || ((await realStorage.list(checkpoints)) ?? []).length > 0) return
  const stores = await Promise.all(placesOf(config).map((place) => openPlace(place)))
  report({ kind: 'phase', phase: 'fetching', detail: stores.map(({ name }) => name).join(', ') })
  const got = await fetchNewest(stores, realStorage, checkpoints, told(report))
  if (got) report({ kind: 'fetched', step: got.step, from: got.from })
}

const told = (report: Report): FetchOptions => ({
  onRefused: ({ path, problems }) =>
    report({
      kind: 'warning',
      message: `the copy ${path} is refused, the one before it is used: ${problems.join('; ')}`,
    }),
  onUnreachable: ({ message }) => report({ kind: 'warning', message }),
})

function refuseOthers(config: Buffer, store: CopyStore, folder: string): void {
  const there = parsed(config, store)
  if (existsSync(join(folder, CONFIG))) {
    if (readRun(folder).createdAt === there.createdAt) return
    throw new HearthError(`${folder} holds another run than ${store.name}`, {
      remedy: 'restore it into another folder: hearth resume NAME --from PLACE',
    })
  }
  if (!existsSync(folder)) return
  const other = readdirSync(folder).find((name) => !PARTS.includes(name) && !isLockFile(name))
  if (other === undefined) return
  throw new HearthError(`the folder ${folder} exists and is not empty: it holds ${other}`, {
    remedy: 'restore the run into another folder: hearth resume NAME --from PLACE',
  })
}

function parsed(config: Buffer, store: CopyStore): { createdAt?: unknown } {
  try {
    return JSON.parse(config.toString()) as { createdAt?: unknown }
  } catch (cause) {
    throw new FormatError(`${store.name}/${CONFIG} cannot be read as JSON`, { cause })
  }
}

async function fetchCheckpoint(stores: CopyStore[], folder: string, report: Report): Promise<void> {
  const { checkpoints } = runPaths(folder)
  const here = await findLatest(realStorage, checkpoints, { onRefused: () => undefined }).catch((error: unknown) => {
    if (error instanceof CheckpointError) return undefined
    throw error
  })
  const after = here?.manifest.step ?? -1
  const got = await fetchNewest(stores, realStorage, checkpoints, { ...told(report), after })
  if (got) report({ kind: 'fetched', step: got.step, from: got.from })
  else if (here === undefined)
    throw new CheckpointError(`${stores[0]!.name} holds no checkpoint: the run had none when it was copied`)
}

/** What a key may be: names of our own making, so that a copy from elsewhere cannot reach outside the folder. */
const TOKENIZER_FILE = new RegExp(`^${TOKENIZER}/[A-Za-z0-9][\\w.-]*$`)
const TOKENS_FILE = new RegExp(`^${TOKENS}/\\d+/[A-Za-z0-9][\\w.-]*$`)

/** What is not there yet; a folder of tokens is whole when its manifest is there. */
async function fetchFiles(store: CopyStore, folder: string): Promise<void> {
  const local = folderStore(realStorage, folder)
  const isHere = (key: string) => existsSync(join(folder, key))
  const keys = (await store.list('')).map(({ key }) => key)
  for (const key of keys.filter((key) => TOKENIZER_FILE.test(key) || key === METRICS))
    if (!isHere(key)) await copyFile(store, key, local)
  const tokens = keys.filter((key) => TOKENS_FILE.test(key))
  for (const manifest of tokens.filter((key) => key.endsWith(`/${TOKENS_MANIFEST}`) && !isHere(key))) {
    const shards = tokens.filter((key) => dirname(key) === dirname(manifest) && key !== manifest)
    for (const key of [...shards, manifest]) await copyFile(store, key, local)
    await verifyTokens(join(folder, dirname(manifest)))
  }
}
