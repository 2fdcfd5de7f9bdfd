// The program that writes a durable checkpoint from the shards of all ranks while these go on: a process of its own, so
// that no step waits for the disk. A step and the one before it lie in two banks, so the state that it reads stays for as
// long as the ranks do not commit the step after the next. Not here: who sees to that (sharded-session.ts).
import { CheckpointError, setNumThreads } from '@hearth/torch'
import { realStorage, saveInParts, type Json } from '../../checkpoint/index.js'
import { serveTasks } from '../../cluster/index.js'
import type { Hashes } from '../bank-hashes.js'
import type { SaveResult } from '../checkpoint-process.js'
import { pruned } from '../pruned.js'
import { shardLayout, type ShardLayout } from './layout.js'
import { openShards, type RankOptions } from './shard-folder.js'
import { skeletonOf } from './sharded-model.js'
import { wholeState } from './whole-state.js'

export interface ShardSaverJob extends RankOptions {
  /** The model's config.json. */
  model: Record<string, unknown>
  /** Folder of the shards. */
  state: string
  /** Names the configuration that shards must be of. */
  hash: string
  /** Folder of the checkpoints. */
  checkpoints: string
}

export interface ShardSaveTask {
  step: number
  meta: Json
  parent: string | null
  /** What each shard hashed to when it was written, if it was hashed. */
  hashes: readonly Hashes[] | undefined
  keep: number
  /** Steps between the checkpoints that a run goes back to. */
  planned: number
}

serveTasks<ShardSaveTask>((opened) => {
  const job = opened as ShardSaverJob
  setNumThreads(1)
  const layout = shardLayout(skeletonOf(job.model).shapes, job.sharding === 'replicate' ? 1 : job.ranks)
  return Promise.resolve({ run: (task) => save(job, layout, task) })
})

async function save(job: ShardSaverJob, layout: ShardLayout, task: ShardSaveTask): Promise<SaveResult> {
  const { checkpoints } = job
  const { step, meta, parent, hashes, keep, planned } = task
  const started = performance.now()
  // Anew each time: a rank that began anew has made another file.
  const states = openShards(job.state, { ...job, layout })
  try {
    const parts = asAsync(wholeState(layout, states, step, hashes))
    const { path, hash } = await saveInParts(realStorage, checkpoints, { step, meta, parent, parts })
    const seconds = (performance.now() - started) / 1000
    return { saved: true, path, hash, seconds, ...(await pruned(checkpoints, { keepLast: keep, planned })) }
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    return { saved: false, problem: error.message }
  } finally {
    states.forEach((state) => state.close())
  }
}

// eslint-disable-next-line @typescript-eslint/require-await -- what is there already is asked for as what is not
async function* asAsync<T>(items: Iterable<T>): AsyncGenerator<T, void, void> {
  yield* items
}
