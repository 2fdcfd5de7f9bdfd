// The folder that holds a run's checkpoints: which names mean what, which checkpoints there are, and what crashes and
// pruning left behind. Not here: whether a checkpoint is whole (verify.ts).
import { dirname, join } from 'node:path'
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
const LEFTOVER = /^step-\d{8,15}(?:-\d{1,6})?(?:\.bad)?\.(?:partial|pruned)$/

/** Of a checkpoint that is whole, and whose state led to trouble: nothing goes on from it. */
export const badOf = (path: string) => `${path}.bad`
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
  return checkpointsNamed(await namesIn(storage, dir)).map((found) => ({ ...found, path: join(dir, found.path) }))
}

/** @throws CheckpointError when the folder cannot be read */
export async function namesIn(storage: Storage, dir: string): Promise<string[]> {
  const names = await storage.list(dir).catch((cause: unknown) => {
    if (errorCode(cause) === undefined) throw cause
    throw new CheckpointError(`the checkpoints in ${dir} cannot be listed: ${(cause as Error).message}`, { cause })
  })
  return names ?? []
}

/** Those of some names that are a checkpoint's, newest first; `path` is the name. */
export function checkpointsNamed(names: readonly string[]): CheckpointName[] {
  const found = names.flatMap((name) => {
    const [, step, revision = '1'] = COMPLETE.exec(name) ?? []
    return step === undefined ? [] : [{ path: name, step: Number(step), revision: Number(revision) }]
  })
  return found.sort((a, b) => b.step - a.step || b.revision - a.revision)
}

/** The name of a checkpoint's folder. */
export const checkpointName = (step: number, revision: number): string =>
  `step-${String(step).padStart(8, '0')}${revision === 1 ? '' : `-${revision}`}`

/** Makes a folder and those above it. A folder is as durable as its name in the folder above it. */
export async function makeDurableFolder(storage: Storage, dir: string): Promise<void> {
  if ((await storage.list(dir)) !== undefined) return
  await makeDurableFolder(storage, dirname(dir))
  await storage.makeFolder(dir)
  await storage.fsyncFolder(dirname(dir))
}

/** A name for a checkpoint of this step that no other has. */
export async function freeName(storage: Storage, dir: string, step: number): Promise<CheckpointName> {
  const taken = (await listCheckpoints(storage, dir)).find((checkpoint) => checkpoint.step === step)
  const revision = (taken?.revision ?? 0) + 1
  return { path: join(dir, checkpointName(step, revision)), step, revision }
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

/** The checkpoints that were marked bad, by name. */
export async function listBad(storage: Storage, dir: string): Promise<CheckpointName[]> {
  const names = (await namesIn(storage, dir)).filter((name) => name.endsWith(badOf('')))
  const own = checkpointsNamed(names.map((name) => name.slice(0, -badOf('').length)))
  return own.map((found) => ({ ...found, path: join(dir, badOf(found.path)) }))
}

/** Removes a folder and the files in it. */
export async function removeCheckpointFolder(storage: Storage, path: string): Promise<void> {
  for (const name of (await storage.list(path)) ?? []) await storage.unlink(join(path, name))
  await storage.removeFolder(path)
}
