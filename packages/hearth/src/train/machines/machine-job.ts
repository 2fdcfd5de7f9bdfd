// What the worker processes of one machine among several are told when they start.
import { availableParallelism } from 'node:os'
import type { SupervisedOptions } from '../supervised-options.js'
import type { PreparedState } from '../supervised-state.js'
import type { WorkerJob } from '../worker-process.js'

type JobOptions = SupervisedOptions & { prepared: PreparedState }

export const threadsOf = (workers: number): number => Math.max(1, Math.floor(availableParallelism() / workers))

export function workerJob({ run, dtype, poison, prepared, workers }: JobOptions): WorkerJob {
  const { state, gradients, parts, hash, modelConfig } = prepared
  return {
    ...{ folder: run.folder, config: run.config, dtype, model: modelConfig, hash, parts },
    state: state.path,
    gradients: gradients!.path,
    threads: threadsOf(workers),
    poison,
  }
}

/** Of the worker processes. */
export const workerEnvironment = (workers: number) => ({
  OMP_NUM_THREADS: String(threadsOf(workers)),
  OPENBLAS_NUM_THREADS: '1',
})
