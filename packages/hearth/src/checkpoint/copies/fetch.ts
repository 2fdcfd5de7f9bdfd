// A checkpoint back from its copy: to disk under another name, verified there as every checkpoint is, renamed. A copy
// that is damaged is refused and the one before it is used; a place that cannot be reached is no damage.
import { basename, join } from 'node:path'
import { CheckpointError, FormatError } from '@hearth/torch'
import { writeDurably } from '../durable-file.js'
import { freeName, makeDurableFolder, partialOf, removeCheckpointFolder, removeLeftovers } from '../folder.js'
import type { CheckpointName } from '../folder.js'
import { BLOCK_BYTES, MANIFEST_FILE, parseManifest } from '../manifest.js'
import { errorCode, readFully } from '../storage.js'
import type { Storage } from '../storage.js'
import { verifyCheckpoint } from '../verify.js'
import type { RefusedCheckpoint } from '../load.js'
import { listCopies } from './copies.js'
import { readWhole } from './store.js'
import type { CopyStore } from './store.js'

export interface FetchOptions {
  /** Told of each copy that is newer than the one used and is damaged. */
  onRefused: (refused: RefusedCheckpoint) => void
  /** Told of each place that was passed over. */
  onUnreachable: (error: CheckpointError) => void
  /** Only copies of later steps are looked at. */
  after?: number
}

/** A checkpoint that was brought back. */
export interface FetchedCheckpoint {
  /** Its folder on disk. */
  readonly path: string
  readonly step: number
  /** The place and key that it came from. */
  readonly from: string
}

interface Candidate {
  store: CopyStore
  copy: CheckpointName
}

/**
 * Brings the newest copy that is whole into a folder of checkpoints on disk.
 * @returns undefined when no place has any
 * @throws CheckpointError when none could be had because places could not be reached, or all copies are damaged: that a
 * run starts from its beginning instead is not ours to decide
 */
export async function fetchNewest(
  stores: readonly CopyStore[],
  local: Storage,
  dir: string,
  options: FetchOptions,
): Promise<FetchedCheckpoint | undefined> {
  const unreachable = new Map<CopyStore, CheckpointError>()
  const miss = (store: CopyStore) => (error: unknown) => {
    if (!(error instanceof CheckpointError)) throw error
    unreachable.set(store, error)
    return undefined
  }
  const candidates: Candidate[] = []
  for (const store of stores)
    candidates.push(...((await listCopies(store).catch(miss(store))) ?? []).map((copy) => ({ store, copy })))
  const wanted = candidates.filter(({ copy }) => copy.step > (options.after ?? -1))
  wanted.sort((a, b) => b.copy.step - a.copy.step || b.copy.revision - a.copy.revision)
  for (const { store, copy } of wanted) {
    if (unreachable.has(store)) continue
    const got = await fetchCheckpoint(store, copy, local, dir).catch(miss(store))
    if (got === undefined) continue
    if ('problems' in got) options.onRefused(got)
    else {
      unreachable.forEach(options.onUnreachable)
      return got
    }
  }
  if (unreachable.size > 0) throw noneOf(unreachable)
  if (wanted.length > 0)
    throw new CheckpointError(`none of the ${wanted.length} copies is whole; the newest is ${nameOf(wanted[0]!)}`, {
      remedy: 'name another place of copies with --from, or start a new run',
    })
  return undefined
}

const nameOf = ({ store, copy }: Candidate) => `${store.name}/${copy.path}`

function noneOf(unreachable: ReadonlyMap<CopyStore, CheckpointError>): CheckpointError {
  const errors = [...unreachable.values()]
  if (errors.length === 1) return errors[0]!
  return new CheckpointError(`no copy can be read:\n  ${errors.map(({ message }) => message).join('\n  ')}`)
}

/** One copy; what is wrong with it when it is not whole. */
async function fetchCheckpoint(
  store: CopyStore,
  copy: CheckpointName,
  local: Storage,
  dir: string,
): Promise<FetchedCheckpoint | RefusedCheckpoint> {
  const from = nameOf({ store, copy })
  const { step } = copy
  await makeDurableFolder(local, dir)
  await removeLeftovers(local, dir)
  const { path } = await freeName(local, dir, step)
  const partial = partialOf(path)
  await local.makeFolder(partial)
  try {
    const problems = await download(store, copy.path, local, partial)
    if (problems.length > 0) {
      await removeCheckpointFolder(local, partial)
      return { path: from, step, problems }
    }
    await local.fsyncFolder(partial)
    await local.rename(partial, path)
    await local.fsyncFolder(dir)
    return { path, step, from }
  } catch (error) {
    await removeCheckpointFolder(local, partial).catch(() => undefined)
    throw error
  }
}

/** What is wrong with a copy, and not with the place that it is in. */
class Damage extends Error {}

/** All files of a copy; what is wrong with them. */
async function download(store: CopyStore, key: string, local: Storage, folder: string): Promise<readonly string[]> {
  try {
    const bytes = await orDamage(MANIFEST_FILE, readWhole(store, `${key}/${MANIFEST_FILE}`))
    for (const { file, bytes: size } of parseManifest(bytes).manifest.shards)
      await writeDurably(local, join(folder, file), () => blocksOf(store, `${key}/${file}`, size))
    await writeDurably(local, join(folder, MANIFEST_FILE), () => [bytes])
  } catch (error) {
    if (error instanceof Damage || error instanceof FormatError) return [error.message]
    throw error
  }
  return (await verifyCheckpoint(local, folder)).problems
}

async function* blocksOf(store: CopyStore, key: string, size: number): AsyncGenerator<Uint8Array> {
  const name = basename(key)
  const file = await orDamage(name, store.open(key))
  try {
    if (file.size !== size) throw new Damage(`${name} has ${file.size} bytes instead of ${size}`)
    for (let at = 0; at < size;) {
      const block = new Uint8Array(Math.min(BLOCK_BYTES, size - at))
      const got = await orDamage(name, readFully(file, block, at))
      if (got === 0) throw new Damage(`${name} ends at byte ${at}`)
      yield block.subarray(0, got)
      at += got
    }
  } finally {
    await file.close()
  }
}

/** What a file of the copy refuses; an error of the whole place stays what it is. */
const orDamage = <T>(file: string, reading: Promise<T>): Promise<T> =>
  reading.catch((error: unknown) => {
    if (errorCode(error) === undefined) throw error
    const missing = errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR'
    throw new Damage(`${file} ${missing ? 'is missing' : `cannot be read: ${(error as Error).message}`}`)
  })
