// Runs fine-tuning jobs one after the other, each in a process of its own. A server that ends asks the run at hand to save
// and stop; the next server goes on with it, with the same bits.
import { randomBytes } from 'node:crypto'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ApiError } from '../api-error.js'
import type { Catalog, ServedModel } from '../catalog.js'
import type { FineTuningRequest } from '../schemas/fine-tuning.js'
import { Job, RUN } from './job.js'

/** What a run is started with. */
export interface JobLaunch {
  /** The base. */
  path: string
  /** File of rows. */
  data: string
  /** Folder that the run's folder is made in, and its name there. */
  folder: string
  name: string
  request: FineTuningRequest
  /** The run is there and goes on. */
  resume: boolean
}

/** Starts the process of a run; its exit code is 0 when it is finished. */
export type LaunchJob = (launch: JobLaunch) => ChildProcess

const LAST_WORDS = 2000
/** Milliseconds that a run has to save. */
const GRACE = 60_000

export class JobRunner {
  readonly #folder: string
  readonly #catalog: Catalog
  readonly #launch: LaunchJob
  readonly #dataOf: (file: string) => string
  readonly #jobs: Job[]
  #child: { job: Job; process: ChildProcess; ended: Promise<void> } | undefined
  #closed = false

  constructor(folder: string, catalog: Catalog, launch: LaunchJob, dataOf: (file: string) => string) {
    this.#folder = folder
    this.#catalog = catalog
    this.#launch = launch
    this.#dataOf = dataOf
    this.#jobs = Job.all(folder)
  }

  /** Newest first. */
  get jobs(): readonly Job[] {
    return this.#jobs
  }

  /** Serves what earlier servers trained, and goes on with what they left. */
  async begin(): Promise<void> {
    for (const job of this.#jobs) {
      const { status, result } = job.record
      const problem = status === 'succeeded' ? await this.#serve(job, result!) : undefined
      if (problem !== undefined) job.note({}, `Its adapter cannot be served: ${problem}`, 'error')
    }
    this.#next()
  }

  create(request: FineTuningRequest, base: ServedModel): Job {
    const id = `ftjob-${randomBytes(12).toString('hex')}`
    const folder = join(this.#folder, id)
    mkdirSync(folder, { recursive: true })
    const created_at = Math.floor(Date.now() / 1000)
    const rest = { created_at, finished_at: null, result: null, error: null, events: [] }
    const job = new Job(folder, { id, status: 'queued', request, path: base.path, ...rest })
    job.note({}, 'Created the job')
    this.#jobs.unshift(job)
    this.#next()
    return job
  }

  /** @throws ApiError 404 */
  get(id: string): Job {
    const job = this.#jobs.find(({ record }) => record.id === id)
    if (job !== undefined) return job
    throw new ApiError(404, `there is no job ${JSON.stringify(id.slice(0, 64))}`, { param: 'fine_tuning_job_id' })
  }

  /** The run saves its last step; what it learned so far stays in its folder. @throws ApiError for a job that has ended */
  async cancel(id: string): Promise<Job> {
    const job = this.get(id)
    if (job.ended) throw new ApiError(400, `the job has ended: it is ${job.record.status}`, { code: 'job_ended' })
    job.note({ status: 'cancelled', finished_at: Math.floor(Date.now() / 1000) }, 'The job was cancelled')
    if (this.#child?.job === job) await this.#stop()
    return job
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#stop()
  }

  async #stop(): Promise<void> {
    if (this.#child === undefined) return
    const { process, ended } = this.#child
    process.kill('SIGTERM')
    const timer = setTimeout(() => process.kill('SIGKILL'), GRACE)
    await ended
    clearTimeout(timer)
  }

  /** The oldest that waits, one that was under way before the others. */
  #next(): void {
    if (this.#closed || this.#child !== undefined) return
    const waiting = this.#jobs.filter((job) => !job.ended).reverse()
    const job = waiting.find(({ record }) => record.status === 'running') ?? waiting[0]
    if (job !== undefined) this.#start(job)
  }

  #start(job: Job): void {
    const { request, path } = job.record
    try {
      const resume = existsSync(join(job.run, 'status.json'))
      const data = this.#dataOf(request.training_file)
      job.note({ status: 'running' }, resume ? 'Going on with the run' : 'The run begins')
      const process = this.#launch({ path, data, folder: job.folder, name: RUN, request, resume })
      this.#child = { job, process, ended: this.#watch(job, process) }
    } catch (error) {
      this.#fail(job, (error as Error).message)
    }
  }

  async #watch(job: Job, process: ChildProcess): Promise<void> {
    let words = ''
    process.stderr?.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-LAST_WORDS)))
    process.stdout?.resume()
    const code = await new Promise<number | null>((resolve) => {
      process.once('error', (error) => {
        words += error.message
        resolve(null)
      })
      process.once('close', resolve)
    })
    this.#child = undefined
    if (job.record.status === 'running' && !this.#closed) {
      if (code === 0) await this.#succeed(job)
      else this.#fail(job, words.trim() || `its process ended with the code ${code}`)
    }
    this.#next()
  }

  /** Told when its adapter is served, and not before: clients ask for it at once. */
  async #succeed(job: Job): Promise<void> {
    const { request, id } = job.record
    const result = `ft:${request.model}:${request.suffix ?? 'hearth'}:${id.slice(6, 14)}`
    const problem = await this.#serve(job, result)
    const finished_at = Math.floor(Date.now() / 1000)
    const words =
      problem === undefined ? `its adapter is served as ${result}` : `its adapter cannot be served: ${problem}`
    job.note({ status: 'succeeded', result, finished_at }, `The run is finished; ${words}`, problem ? 'error' : 'info')
  }

  /** @returns why its adapter cannot be served, if so */
  async #serve(job: Job, name: string): Promise<string | undefined> {
    try {
      await this.#catalog.addAdapter(name, join(job.run, 'adapter'), job.record.request.model)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  #fail(job: Job, error: string): void {
    job.note(
      { status: 'failed', error, finished_at: Math.floor(Date.now() / 1000) },
      `The run failed: ${error}`,
      'error',
    )
    this.#next()
  }
}
