// The folder that holds a run's checkpoints: which names mean what, which checkpoints there are, and what crashes and
// pruning left behind. Not here: whether a checkpoint is whole (verify.ts).
import { join } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import { errorCode } from './storage.js'
import type { Storage } from './storage.js'

/** A checkpoint by its name alone: nothing is known yet of what is inside. */
export interface CheckpointName {
  /** Its folder. */
  readonly path: string
  readonly step: number
  /** 1, or more where a step was saved again: a checkpoint is never overwritten. */
  readonly revision: number
}

const COMPLETE = /^step-(\d{8,15})(?:-(\d{1,6}))?$/
const LEFTOVER = /^step-\d{8,15}(?:-\d{1,6})?\.(?:partial|pruned)$/

/** While it is being written; the rename to the final name is the moment it becomes a checkpoint. */
export const partialOf = (path: string) => `${path}.partial`
/** From the moment it is given up until all of it is removed. */
export const prunedOf = (path: string) => `${path}.pruned`

/**
 * The checkpoints in a folder, newest first: by step, then by revision. Names only, nothing is opened.
 * @returns none when there is no such folder
 * @throws CheckpointError when the folder cannot be read
 * @example
 * const [newest] = await listCheckpoints(realStorage, 'runs/spark/checkpoints')
 */
export async function listCheckpoints(storage: Storage, dir: string): Promise<CheckpointName[]> {
  const names = await storage.list(dir).catch((cause: unknown) => {
    if (errorCode(cause) === undefined) throw cause
    throw new CheckpointError(`the checkpoints in ${dir} cannot be listed: ${(cause as Error).message}`, { cause })
  })
  const found = (names ?? []).flatMap((name) => {
    const [, step, revision = '1'] = COMPLETE.exec(name) ?? []
    return step === undefined ? [] : [{ path: join(dir, name), step: Number(step), revision: Number(revision) }]
  })
  return found.sort((a, b) => b.step - a.step || b.revision - a.revision)
}

/** A name for a checkpoint of this step that no other has. */
export async function freeName(storage: Storage, dir: string, step: number): Promise<CheckpointName> {
  const taken = (await listCheckpoints(storage, dir)).find((checkpoint) => checkpoint.step === step)
  const revision = (taken?.revision ?? 0) + 1
  const name = `step-${String(step).padStart(8, '0')}`
  return { path: join(dir, revision === 1 ? name : `${name}-${revision}`), step, revision }
}

/** Removes what a crash, or an interrupted pruning, left behind. What cannot be removed now is left for the next time. */
export async function removeLeftovers(storage: Storage, dir: string): Promise<void> {
  const names = ((await storage.list(dir)) ?? []).filter((name) => LEFTOVER.test(name))
  if (names.length === 0) return
  try {
    // Their names may not be on disk yet: a power cut must not bring an old name back to a folder with files missing.
    await storage.fsyncFolder(dir)
    for (const name of names) await removeCheckpointFolder(storage, join(dir, name))
  } catch (error) {
    if (errorCode(error) === undefined) throw error
  }
}

/** Removes a folder and the files in it. */
export async function removeCheckpointFolder(storage: Storage, path: string): Promise<void> {
  for (const name of (await storage.list(path)) ?? []) await storage.unlink(join(path, name))
  await storage.removeFolder(path)
}
