// A crew of real processes on this machine: starts them, hands out tasks, notices whoever ends or stands still, and puts
// another in its place. What to do is decided by crew.ts; here is how. Not here: what the tasks are.
import { fork, type ChildProcess } from 'node:child_process'
import { HearthError } from '@hearth/torch'
import { Crew, type CrewEffect, type CrewOptions, type Place } from './crew.js'
import type { FromWorker, InjectedFault, ToWorker } from './messages.js'

/** What the supervisor noticed, for the run's log. */
export type CrewEvent =
  | { kind: 'started'; place: Place; pid: number; seconds: number }
  /** A worker's process ended, or was ended because it gave no answer. */
  | { kind: 'lost'; place: Place; pid: number; reason: string; noticedAfterSeconds?: number }
  | { kind: 'failed'; place: Place; reason: string }
  /** Seconds that it takes for a task, and the others. */
  | { kind: 'slow'; place: Place; seconds: number; usual: number }
  /** The others go on without it, and it is tried again after so many seconds. */
  | { kind: 'resting'; place: Place; reason: string; seconds: number }

export interface SupervisorOptions extends CrewOptions {
  /** The module that a worker runs; it calls serveTasks(). */
  entry: string
  /** Handed to each worker when it starts. */
  job: unknown
  env?: NodeJS.ProcessEnv
  /** Processes that are ready to take the place of one that is lost. @default 0 */
  spares?: number
  onEvent?: (event: CrewEvent) => void
  /** Told of every process, also spare ones, before it is given anything to do. */
  onLaunch?: (pid: number) => void
}

const TICK_MILLISECONDS = 200
/** Bytes of what a worker last wrote to stderr that are kept, to say why it ended. */
const LAST_WORDS = 2000
/** Spares in a row that may fail before none is made any more: a run can do without. */
const MAX_FAILED_SPARES = 3

interface Worker {
  /** Undefined for a spare. */
  place: Place | undefined
  process: ChildProcess
  started: number
  ready: boolean
  lastWords: string
  /** Set when it is killed for giving no answer. */
  killed?: { reason: string; afterSeconds: number }
}

interface Pending {
  resolve: (results: unknown[]) => void
  reject: (error: Error) => void
}

/** Workers that gave up: the same fault came again and again. */
export class CrewError extends HearthError {
  constructor(readonly reason: string) {
    super(`the run cannot go on: ${reason}`, {
      remedy:
        'everything up to the last step is kept; see events.jsonl in the run’s folder, mend the cause, then resume',
    })
  }
}

const seconds = () => performance.now() / 1000

export class Supervisor<Task> {
  readonly #options: SupervisorOptions
  readonly #crew: Crew<Task>
  readonly #workers = new Map<Place, Worker>()
  readonly #spares = new Set<Worker>()
  /** Spares that did not become ready, in a row. */
  #failedSpares = 0
  readonly #ticks: NodeJS.Timeout
  #pending: Pending | undefined
  #gaveUp: CrewError | undefined
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#crew = new Crew(options)
    this.#ticks = setInterval(() => this.#apply(this.#crew.tick(seconds())), TICK_MILLISECONDS)
    this.#apply(this.#crew.muster(seconds()))
  }

  /** The workers' processes: those that work, and those that are still starting. */
  get processes(): { place: Place; pid: number; ready: boolean }[] {
    return [...this.#workers].map(([place, { process, ready }]) => ({ place, pid: process.pid!, ready }))
  }

  /**
   * Has tasks done, whatever happens to the workers; one round at a time.
   * @returns their results, in the tasks' order
   * @throws CrewError when the same work fails again and again
   */
  async run(phase: string, tasks: readonly Task[]): Promise<unknown[]> {
    if (this.#gaveUp) throw this.#gaveUp
    return await new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#apply(this.#crew.begin(phase, tasks, seconds()))
    })
  }

  /** Has a worker have a fault: for drills. */
  inject(place: Place, fault: InjectedFault): void {
    this.#send(place, { kind: 'fault', fault })
  }

  /** Ends all workers; resolves when they are gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#ticks)
    const all = [...this.#workers.values(), ...this.#spares]
    for (const { process } of all) process.kill('SIGKILL')
    await Promise.all(all.map(({ process }) => ended(process)))
  }

  #apply(effects: readonly CrewEffect<Task>[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'start':
          this.#start(effect.place)
          break
        case 'assign':
          this.#send(effect.place, { kind: 'task', ticket: effect.ticket, task: effect.task })
          break
        case 'kill':
          this.#kill(effect.place, effect)
          break
        case 'slow':
          this.#say(effect)
          break
        case 'rest':
          this.#say({ ...effect, kind: 'resting' })
          break
        case 'finished':
          this.#pending?.resolve(effect.results)
          break
        case 'gave-up':
          this.#gaveUp = new CrewError(effect.reason)
          this.#pending?.reject(this.#gaveUp)
      }
    }
  }

  /** Puts a process into a place: a spare that is ready, else a new one. */
  #start(place: Place): void {
    const spare = [...this.#spares].find(({ ready }) => ready)
    if (spare === undefined) {
      this.#workers.set(place, this.#launch(place))
      return
    }
    this.#spares.delete(spare)
    spare.place = place
    spare.started = seconds()
    this.#workers.set(place, spare)
    // Not at once: what is being applied comes first.
    queueMicrotask(() => this.#join(place, spare))
  }

  #launch(place: Place | undefined): Worker {
    const child = fork(this.#options.entry, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...this.#options.env },
      execArgv: [],
    })
    if (child.pid !== undefined) this.#options.onLaunch?.(child.pid)
    const worker: Worker = { place, process: child, started: seconds(), ready: false, lastWords: '' }
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      worker.lastWords = (worker.lastWords + text).slice(-LAST_WORDS)
    })
    child.on('message', (message: FromWorker) => this.#hear(worker, message))
    // A process that does not come to be has no exit either.
    child.on('error', (error) => child.pid === undefined && this.#lose(worker, error.message))
    child.on('exit', (code, signal) => this.#lose(worker, signal ?? `exit code ${code}`))
    send(worker, { kind: 'open', job: this.#options.job })
    return worker
  }

  #join(place: Place, worker: Worker): void {
    if (this.#workers.get(place) !== worker) return
    const now = seconds()
    this.#say({ kind: 'started', place, pid: worker.process.pid!, seconds: now - worker.started })
    this.#apply(this.#crew.joined(place, now))
    this.#provideSpares()
  }

  /** When everybody is at work: spares must not take the processor from those that are waited for. */
  #provideSpares(): void {
    const { spares = 0 } = this.#options
    if (this.#stopping || this.#crew.ready < this.#crew.wanted || this.#failedSpares >= MAX_FAILED_SPARES) return
    while (this.#spares.size < spares) this.#spares.add(this.#launch(undefined))
  }

  #hear(worker: Worker, message: FromWorker): void {
    const { place } = worker
    if (message.kind === 'ready') {
      worker.ready = true
      if (place === undefined) this.#failedSpares = 0
      else this.#join(place, worker)
      return
    }
    if (place === undefined || this.#workers.get(place) !== worker) return
    const now = seconds()
    if (message.kind === 'done') this.#apply(this.#crew.done(place, message.ticket, message.result, now))
    else {
      this.#say({ kind: 'failed', place, reason: message.message })
      this.#apply(this.#crew.failed(place, message.ticket, message.message, now))
    }
  }

  #lose(worker: Worker, how: string): void {
    const { place } = worker
    if (this.#stopping) return
    if (place === undefined) {
      if (!this.#spares.delete(worker)) return
      if (!worker.ready) this.#failedSpares++
      this.#provideSpares()
      return
    }
    if (this.#workers.get(place) !== worker) return
    this.#workers.delete(place)
    const words = worker.lastWords.trim().split('\n').at(-1)
    const reason = worker.killed?.reason ?? (words ? `${how}: ${words}` : how)
    const noticed = worker.killed && { noticedAfterSeconds: worker.killed.afterSeconds }
    this.#say({ kind: 'lost', place, pid: worker.process.pid ?? 0, reason, ...noticed })
    this.#apply(this.#crew.left(place, reason, seconds()))
  }

  /** SIGKILL ends a stopped process too. The crew hears of it when the process is gone, and not before: it may be writing. */
  #kill(place: Place, killed: { reason: string; afterSeconds: number }): void {
    const worker = this.#workers.get(place)
    if (worker === undefined) return
    worker.killed = killed
    worker.process.kill('SIGKILL')
  }

  #send(place: Place, message: ToWorker<Task>): void {
    const worker = this.#workers.get(place)
    if (worker) send(worker, message)
  }

  #say(event: CrewEvent): void {
    this.#options.onEvent?.(event)
  }
}

/** A worker that is gone is heard of by its exit. */
function send(worker: Worker, message: ToWorker<unknown>): void {
  if (worker.process.connected) worker.process.send(message, () => undefined)
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) resolve()
    else child.on('exit', () => resolve())
  })
