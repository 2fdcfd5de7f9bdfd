// A fine-tuning job: what was asked, how far it is, and what it gave; kept in a file of its own, so that it outlives the
// server. Its run is a run of Hearth, in the folder beside.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '@hearth/torch'
import { listCheckpoints, realStorage } from '../../checkpoint/index.js'
import { readMetrics, runPaths, type StepMetrics } from '../../train/index.js'
import type { FineTuningRequest, Hyperparameters } from '../schemas/fine-tuning.js'

export type JobStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'

export interface JobRecord {
  id: string
  status: JobStatus
  request: FineTuningRequest
  /** The file or folder of the base. */
  path: string
  created_at: number
  finished_at: number | null
  /** Under which the adapter is served. */
  result: string | null
  error: string | null
  events: { at: number; level: 'info' | 'warn' | 'error'; message: string }[]
}

export const RUN = 'run'
const LEFT_TO_US = { n_epochs: 'auto', batch_size: 'auto', learning_rate_multiplier: 'auto' }

/** A job with its folder. */
export class Job {
  readonly folder: string
  #record: JobRecord

  constructor(folder: string, record: JobRecord) {
    this.folder = folder
    this.#record = record
  }

  /** The jobs in a folder, newest first. */
  static all(folder: string): Job[] {
    if (!existsSync(folder)) return []
    const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'job.json')))
    const jobs = names.map((name) => {
      const text = readFileSync(join(folder, name, 'job.json'), 'utf8')
      return new Job(join(folder, name), JSON.parse(text) as JobRecord)
    })
    return jobs.sort((a, b) => b.record.created_at - a.record.created_at)
  }

  get record(): Readonly<JobRecord> {
    return this.#record
  }

  get ended(): boolean {
    return !['queued', 'running'].includes(this.#record.status)
  }

  /** The run's folder. */
  get run(): string {
    return join(this.folder, RUN)
  }

  /** Changes what is known of it, and says so. */
  note(change: Partial<JobRecord>, message: string, level: JobRecord['events'][number]['level'] = 'info'): void {
    const events = [...this.#record.events, { at: seconds(), level, message }]
    this.#record = { ...this.#record, ...change, events }
    replaceFile(join(this.folder, 'job.json'), (write) => write(Buffer.from(JSON.stringify(this.#record))))
  }

  /** As OpenAI's answers have it. */
  get body(): object {
    const { id, status, request, created_at, finished_at, result, error } = this.#record
    return {
      id,
      object: 'fine_tuning.job',
      model: request.model,
      created_at,
      finished_at,
      status,
      fine_tuned_model: result,
      training_file: request.training_file,
      validation_file: null,
      hyperparameters: { ...LEFT_TO_US, ...hyperparametersOf(request) },
      method: request.method ?? { type: 'supervised' },
      seed: request.seed ?? 0,
      metadata: request.metadata ?? null,
      organization_id: 'hearth',
      result_files: [],
      trained_tokens: null,
      estimated_finish: null,
      integrations: [],
      user_provided_suffix: request.suffix ?? null,
      error: error === null ? null : { code: 'failed', message: error, param: null },
    }
  }

  /** What happened and what was measured, newest first. */
  get events(): object[] {
    const told = this.#record.events.map(({ at, level, message }) => ({
      at,
      level,
      message,
      type: 'message',
      data: null,
    }))
    const measured = this.#metrics().map((metrics) => ({
      at: Math.floor(Date.parse(metrics.time) / 1000),
      level: 'info',
      message: `Step ${metrics.step}: training loss=${metrics.loss.toFixed(4)}`,
      type: 'metrics',
      data: metricsOf(metrics),
    }))
    return [...told, ...measured]
      .sort((a, b) => b.at - a.at)
      .map(({ at, ...event }, i) => ({
        object: 'fine_tuning.job.event',
        id: `ftevent-${this.#record.id.slice(6)}-${i}`,
        created_at: at,
        ...event,
      }))
  }

  /** Durable checkpoints of the run, newest first. */
  async checkpoints(): Promise<object[]> {
    const metrics = new Map(this.#metrics().map((each) => [each.step, each]))
    const found = await listCheckpoints(realStorage, runPaths(this.run).checkpoints)
    return found.map(({ step }) => ({
      object: 'fine_tuning.job.checkpoint',
      id: `ftckpt-${this.#record.id.slice(6)}-${step}`,
      created_at: this.#record.created_at,
      fine_tuned_model_checkpoint: `${this.#record.id}:step-${step}`,
      fine_tuning_job_id: this.#record.id,
      step_number: step,
      metrics: metrics.has(step) ? metricsOf(metrics.get(step)!) : { step },
    }))
  }

  #metrics(): StepMetrics[] {
    return readMetrics(runPaths(this.run).metrics).steps
  }
}

const seconds = () => Math.floor(Date.now() / 1000)

/** Settings of whichever place the request has them in; those that are left to us are not there. */
export function hyperparametersOf({ hyperparameters, method }: FineTuningRequest): Partial<Hyperparameters> {
  const own = method?.type === 'dpo' ? method.dpo : method?.supervised
  const given = Object.entries({ ...hyperparameters, ...own?.hyperparameters }) as [string, number | undefined][]
  return Object.fromEntries(given.filter(([, value]) => value !== undefined))
}

const metricsOf = ({ step, loss, heldOutLoss }: StepMetrics) => ({
  step,
  train_loss: loss,
  ...(heldOutLoss !== undefined && { valid_loss: heldOutLoss }),
})
