// Checkpoints that a run gives up although they are whole: those of steps that it went back behind, and one whose state
// led to trouble again. Not here: damaged ones, which are refused when they are read (verify.ts).
import { basename } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import { badOf, listCheckpoints, namesIn, prunedOf, removeLeftovers } from './folder.js'
import { errorCode } from './storage.js'
import type { Storage } from './storage.js'

/** What is given up. */
export interface Withdrawal {
  /** Checkpoints of later steps go. */
  after: number
  /** Those of this step stay in the folder under another name, `step-00000250.bad`, and nothing goes on from them. */
  bad?: number
}

/**
 * Gives checkpoints up, durably: what is read afterwards does not find them.
 * @throws CheckpointError when the disk refuses
 * @example
 * await withdrawCheckpoints(realStorage, 'runs/spark/checkpoints', { after: 500, bad: 750 })
 */
export async function withdrawCheckpoints(storage: Storage, dir: string, { after, bad }: Withdrawal): Promise<void> {
  const names = new Set(await namesIn(storage, dir))
  // One of the same name may be bad already.
  const nameOf = (path: string, step: number) =>
    step === bad && !names.has(basename(badOf(path))) ? badOf(path) : prunedOf(path)
  const all = (await listCheckpoints(storage, dir)).filter(({ step }) => step > after)
  if (all.length === 0) return
  try {
    for (const { path, step } of all) await storage.rename(path, nameOf(path, step))
    await storage.fsyncFolder(dir)
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    const message = `checkpoints in ${dir} that the run went back behind cannot be taken away: ${(error as Error).message}`
    throw new CheckpointError(message, { cause: error })
  }
  await removeLeftovers(storage, dir)
}
