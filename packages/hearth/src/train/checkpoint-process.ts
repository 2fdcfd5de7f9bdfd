// The program that copies a committed bank to a durable checkpoint while training goes on: a process of its own, so that
// neither steps nor the supervisor wait for the disk. The bank is held for it until it answers.
import { CheckpointError, setNumThreads, type Tensor } from '@hearth/torch'
import { realStorage, saveCheckpoint, StateFile, type Json, type Storage } from '../checkpoint/index.js'
import { hashesOf, nameOf } from './bank-hashes.js'
import { pruned } from './pruned.js'
import { serveTasks } from '../cluster/index.js'

export interface SaverJob {
  state: string
  /** Names the configuration that the state must be of. */
  hash: string
  /** Folder of the checkpoints. */
  folder: string
}

export interface SaveTask {
  bank: number
  step: number
  meta: Json
  /** What the bank hashed to when it was written, if it was hashed. */
  hash: string | undefined
  parent: string | null
  keep: number
  /** Steps between the checkpoints that a run goes back to. */
  planned: number
}

export type SaveResult =
  | { saved: true; path: string; hash: string; seconds: number; problem?: string }
  /** A disk that refuses, in words. */
  | { saved: false; problem: string }

serveTasks<SaveTask>((opened) => {
  const { state: path, hash, folder } = opened as SaverJob
  setNumThreads(1)
  const state = StateFile.open(path, { config: hash })
  let full = false
  return Promise.resolve({
    run: (task) => {
      const storage = full ? fullDisk : realStorage
      full = false
      return save(storage, state.bank(task.bank), folder, task)
    },
    // For drills.
    spoil: () => {
      full = true
    },
  })
})

/** A disk that takes nothing more. */
const fullDisk: Storage = {
  ...realStorage,
  create: async (path) => ({
    ...(await realStorage.create(path)),
    write: () => Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })),
  }),
}

async function save(
  storage: Storage,
  tensors: Record<string, Tensor>,
  folder: string,
  task: SaveTask,
): Promise<SaveResult> {
  const { step, meta, parent, keep, planned } = task
  const started = performance.now()
  try {
    if (task.hash !== undefined && nameOf(hashesOf(tensors)) !== task.hash)
      return {
        saved: false,
        problem: `the checkpoint of step ${step} was not saved: memory flipped a bit of its state`,
      }
    const { path, hash } = await saveCheckpoint(storage, folder, { step, tensors, meta, parent })
    const seconds = (performance.now() - started) / 1000
    return { saved: true, path, hash, seconds, ...(await pruned(folder, { keepLast: keep, planned })) }
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    return { saved: false, problem: error.message }
  } finally {
    Object.values(tensors).forEach((tensor) => tensor.dispose())
  }
}
