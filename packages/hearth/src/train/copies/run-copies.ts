// The copies of a run's checkpoints in other places, made while training goes on. Each place takes one checkpoint at a
// time, and when it is done the newest that came meanwhile. A place that fails costs a warning, never the run, and is
// tried again with the next checkpoint. Not here: how a copy is made (place-copier.ts, hearth/checkpoint).
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { insidePlace, isS3 } from '../../checkpoint/index.js'
import type { Place } from '../../checkpoint/index.js'
import type { RunConfig } from '../config.js'
import type { Report } from '../run-events.js'
import type { Run } from '../run-folder.js'
import type { CopyResult, CopyTask, CopyThreadJob } from './copy-thread.js'

/** The compiled programs lie beside this package's public face, also when its sources are run by a test. */
const program = join(dirname(createRequire(import.meta.url).resolve('hearth/train')), 'copies', 'copy-thread.js')

interface Checkpoint {
  step: number
  path: string
}

interface PlaceState {
  readonly place: Place
  readonly readBack: boolean
  busy?: Checkpoint | undefined
  /** The newest checkpoint that came since. */
  next?: Checkpoint | undefined
  /** The last copy that was made by this process. */
  good?: { step: number; at: number }
}

/** The places of a run, each with the run's own folder in it. */
export const placesOf = ({ copies, name }: RunConfig): Place[] =>
  copies.map(({ to, endpoint, region }) => insidePlace({ to: isS3(to) ? to : resolve(to), endpoint, region }, name))

export class RunCopies {
  readonly #run: Run<RunConfig>
  readonly #report: Report
  readonly #places: PlaceState[]
  readonly #since = Date.now()
  #thread: Worker | undefined
  #idle: (() => void) | undefined

  constructor(run: Run<RunConfig>, report: Report) {
    this.#run = run
    this.#report = report
    const { copies } = run.config
    this.#places = placesOf(run.config).map((place, index) => ({ place, readBack: copies[index]!.readBack }))
  }

  /** Takes the run's events on their way to its reporter: each durable checkpoint is copied to every place. */
  readonly following: Report = (event) => {
    this.#report(event)
    // One that the run went on from may be missing in a place that failed.
    if (event.kind === 'checkpoint' || event.kind === 'restored') this.#offer({ step: event.step, path: event.path })
  }

  #offer(checkpoint: Checkpoint): void {
    for (const [index, state] of this.#places.entries()) {
      state.next = checkpoint
      this.#start(index)
    }
  }

  /**
   * Waits until every place has the newest checkpoint, or has failed to take it.
   * @param signal ends the waiting. One that was aborted before is why the run ends: then only the process's end does.
   */
  async finish(signal?: AbortSignal): Promise<void> {
    const waiting = () => this.#places.flatMap(({ busy, place }) => (busy ? [place.to] : []))
    if (waiting().length === 0) return
    this.#report({ kind: 'phase', phase: 'copying', detail: waiting().join(', ') })
    this.#thread?.ref()
    await new Promise<void>((resolve) => {
      this.#idle = resolve
      if (!signal?.aborted) signal?.addEventListener('abort', () => resolve(), { once: true })
    })
    for (const to of waiting()) this.#report({ kind: 'warning', message: `the last copy to ${to} was given up` })
  }

  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #start(index: number): void {
    const state = this.#places[index]!
    if (state.busy !== undefined || state.next === undefined) return
    state.busy = state.next
    state.next = undefined
    const keepLast = this.#run.config.keepCheckpoints
    const task: CopyTask = { place: index, path: state.busy.path, keepLast, readBack: state.readBack }
    this.#thread ??= this.#startThread()
    this.#thread.postMessage(task)
  }

  #startThread(): Worker {
    const { folder, record } = this.#run
    const job: CopyThreadJob = { folder, createdAt: record.createdAt, places: this.#places.map(({ place }) => place) }
    const thread = new Worker(program, { workerData: job })
    thread.on('message', (result: CopyResult) => this.#done(result))
    thread.on('error', (error) => {
      this.#thread = undefined
      for (const [place, { busy }] of this.#places.entries()) if (busy) this.#done({ place, problem: error.message })
    })
    // A run that fails does not wait for its copies.
    thread.unref()
    return thread
  }

  #done(result: CopyResult): void {
    const state = this.#places[result.place]!
    const { step } = state.busy!
    state.busy = undefined
    if ('problem' in result) this.#warn(state, step, result.problem)
    else if ('copied' in result) this.#note(state, step, result)
    this.#start(result.place)
    if (this.#places.every(({ busy }) => busy === undefined)) this.#idle?.()
  }

  #note(state: PlaceState, step: number, { copied, seconds }: Extract<CopyResult, { seconds: number }>): void {
    const { to } = state.place
    state.good = { step, at: Date.now() }
    if (copied.bytes > 0) this.#report({ kind: 'copied', step, to, bytes: copied.bytes, seconds })
    if (copied.problem !== undefined) this.#report({ kind: 'warning', message: copied.problem })
  }

  #warn({ place, good }: PlaceState, step: number, problem: string): void {
    const last = good
      ? `the last good copy there is of step ${good.step}, made ${ago(good.at)}`
      : `no copy was made there since this process began ${ago(this.#since)}`
    const message = `step ${step} was not copied to ${place.to}: ${problem}\n  ${last}; it is tried again with the next checkpoint`
    this.#report({ kind: 'warning', message })
  }
}

function ago(at: number): string {
  const seconds = Math.round((Date.now() - at) / 1000)
  if (seconds < 120) return `${seconds} s ago`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`
}
