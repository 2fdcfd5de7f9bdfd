// The program of a worker: it opens the run's folder and the state file, and serves tasks until its supervisor is gone.
import { setNumThreads, type DType } from '@hearth/torch'
import { StateFile } from '../checkpoint/index.js'
import { serveTasks } from '../cluster/index.js'
import type { Poison } from './drill/poison.js'
import type { RunConfig } from './config.js'
import { optimizerOf } from './optimizer.js'
import { prepareText } from './text-data.js'
import { trainingModel } from './training-model.js'
import { WorkerTasks } from './worker-tasks.js'

/** What the supervisor tells a worker. */
export interface WorkerJob {
  /** The run's. Tokenizer and tokens are there already. */
  folder: string
  config: RunConfig
  dtype: DType
  /** The model's config.json. */
  model: Record<string, unknown>
  /** Names the configuration that state and gradients must be of. */
  hash: string
  state: string
  gradients: string | undefined
  parts: number
  threads: number
  /** For drills alone. */
  poison: Poison | undefined
}

serveTasks(async (opened) => {
  const job = opened as WorkerJob
  const { config, dtype, parts, hash } = job
  setNumThreads(job.threads)
  const state = StateFile.open(job.state, { config: hash })
  const gradients = job.gradients === undefined ? undefined : StateFile.open(job.gradients, { config: hash })
  const data = await prepareText(config, job.folder, { report: () => undefined })
  const named = Object.entries(state.bank(0)).filter(([name]) => name.startsWith('weights.'))
  const weights = Object.fromEntries(named.map(([name, tensor]) => [name.slice('weights.'.length), tensor]))
  const model = trainingModel(job.model, weights, { config, data, dtype, poison: job.poison })
  const optimizer = optimizerOf(config, dtype)
  return new WorkerTasks({ model, state, gradients, parts, optimizer, dtype, clip: config.optimizer.clip })
})
