// The thread that copies a run's checkpoints: what it waits for, and the checksums, cost the training nothing.
import { existsSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { errorCode, openPlace } from '../../checkpoint/index.js'
import type { CopiedCheckpoint, CopyOptions, Place } from '../../checkpoint/index.js'
import { PlaceCopier } from './place-copier.js'

export interface CopyThreadJob {
  folder: string
  createdAt: string
  places: readonly Place[]
}

export interface CopyTask extends CopyOptions {
  /** Which of the places. */
  place: number
  path: string
}

export type CopyResult = { place: number } & (
  | { copied: CopiedCheckpoint; seconds: number }
  | { problem: string }
  /** The checkpoint was pruned before it was its turn: there is a newer one. */
  | { gone: true }
)

const { places, ...run } = workerData as CopyThreadJob
const copiers = places.map((place) => openPlace(place).then((store) => new PlaceCopier(run, store)))
// A place that cannot be opened is told with the first copy.
for (const copier of copiers) copier.catch(() => undefined)

parentPort!.on('message', (task: CopyTask) => {
  void answer(task).then((result) => parentPort!.postMessage(result))
})

async function answer({ place, path, ...options }: CopyTask): Promise<CopyResult> {
  const started = performance.now()
  try {
    const copied = await (await copiers[place]!).copy(path, options)
    return { place, copied, seconds: (performance.now() - started) / 1000 }
  } catch (error) {
    const isGone = errorCode(error) === 'ENOENT' && !existsSync(path)
    return isGone ? { place, gone: true } : { place, problem: (error as Error).message }
  }
}
