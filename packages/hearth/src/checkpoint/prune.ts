// Retention: which checkpoints stay, and how the others go without ever leaving a run with nothing to fall back on.
import { CheckpointError } from '@hearth/torch'
import { listBad, listCheckpoints, prunedOf, removeCheckpointFolder, removeLeftovers } from './folder.js'
import type { CheckpointName } from './folder.js'
import { errorCode } from './storage.js'
import type { Storage } from './storage.js'
import { verifyCheckpoint } from './verify.js'

/** Which checkpoints stay. */
export interface Retention {
  /** The newest so many; at least 1. */
  keepLast: number
  /** Besides, the newest `keepLast` of those whose step is a multiple of this: the ones that a run goes back to. */
  planned?: number
  /** Besides, for good, those whose step is a multiple of this. */
  keepEvery?: number
}

/**
 * Removes the checkpoints that need not stay; call it after a save was acknowledged. Before anything goes, the newest
 * of those that stay are read until one proves whole; should none be, the newest whole one of the others stays too,
 * and if there is none at all, nothing goes.
 * @returns the folders that were removed
 * @throws CheckpointError when the disk refuses; what is half removed no longer counts as a checkpoint
 * @example
 * await prune(realStorage, 'runs/spark/checkpoints', { keepLast: 3, keepEvery: 10_000 })
 */
export async function prune(storage: Storage, dir: string, retention: Retention): Promise<string[]> {
  if (!(retention.keepLast >= 1)) throw new CheckpointError(`keepLast must be at least 1: got ${retention.keepLast}`)
  const names = await listCheckpoints(storage, dir)
  const { keepLast, planned } = retention
  const goneBackTo = names.filter(({ step }) => planned !== undefined && step % planned === 0).slice(0, keepLast)
  const staying = names.filter(
    (name, index) => index < keepLast || goneBackTo.includes(name) || isMilestone(names, index, retention),
  )
  const old = names.filter((name) => !staying.includes(name))
  if (old.length === 0) return []
  const proven = await firstWhole(storage, [...staying, ...old])
  if (proven === undefined) return []
  const oldest = staying.at(-1)!.step
  const going = [...old, ...(await listBad(storage, dir)).filter(({ step }) => step < oldest)]
  const removed = going.filter((name) => name !== proven).map(({ path }) => path)
  try {
    await remove(storage, dir, removed)
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    const message = `old checkpoints in ${dir} could not be removed: ${(error as Error).message}`
    throw new CheckpointError(message, { cause: error, remedy: `remove them by hand: ${removed.join(' ')}` })
  }
  return removed
}

/** Of a step that was saved more than once, the last revision counts. */
function isMilestone(names: readonly CheckpointName[], index: number, { keepEvery }: Retention): boolean {
  const { step } = names[index]!
  return keepEvery !== undefined && step % keepEvery === 0 && names[index - 1]?.step !== step
}

async function firstWhole(storage: Storage, names: readonly CheckpointName[]): Promise<CheckpointName | undefined> {
  for (const name of names) if ((await verifyCheckpoint(storage, name.path)).problems.length === 0) return name
  return undefined
}

// The new names reach the disk before any file goes, so that what still has its old name is always whole.
async function remove(storage: Storage, dir: string, paths: readonly string[]): Promise<void> {
  await removeLeftovers(storage, dir)
  for (const path of paths) await storage.rename(path, prunedOf(path))
  await storage.fsyncFolder(dir)
  for (const path of paths) await removeCheckpointFolder(storage, prunedOf(path))
}
