// Writes durable checkpoints of a state file through a process of its own (checkpoint-process.ts, or sharded/'s own), and
// puts another in its place when that ends again and again: a checkpoint that was not written never ends a run.
// Not here: when one is due.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { CrewError, Supervisor, type CrewEvent } from '../cluster/index.js'
import type { SaverJob, SaveResult, SaveTask } from './checkpoint-process.js'

export interface SaverOptions<Job = SaverJob> {
  job: Job
  /** The compiled program that writes, in this folder. @default 'checkpoint-process.js' */
  program?: string
  onLaunch?: (pid: number) => void
  onLost: (event: Extract<CrewEvent, { kind: 'lost' }>) => void
}

/** The compiled programs lie beside this package's public face, also when its sources are run by a test. */
export const programs = dirname(createRequire(import.meta.url).resolve('hearth/train'))

export class Saver<Task extends { step: number } = SaveTask, Job = SaverJob> {
  readonly #options: SaverOptions<Job>
  #crew: Supervisor<Task>

  constructor(options: SaverOptions<Job>) {
    this.#options = options
    this.#crew = this.#start()
  }

  get processes(): Supervisor<Task>['processes'] {
    return this.#crew.processes
  }

  /** For drills. */
  readonly inject: Supervisor<Task>['inject'] = (place, fault) => this.#crew.inject(place, fault)

  /** Never rejects because its process ended: that is a checkpoint which was not saved. */
  async save(task: Task): Promise<SaveResult> {
    const first = await this.#try(task)
    // The crew may have given up before, with nothing to save: a new one is worth a second attempt.
    const result = first instanceof CrewError ? await this.#try(task) : first
    if (!(result instanceof CrewError)) return result
    return { saved: false, problem: `the checkpoint of step ${task.step} was not saved: ${result.reason}` }
  }

  async #try(task: Task): Promise<SaveResult | CrewError> {
    try {
      const [result] = await this.#crew.run('checkpoint', [task])
      return result as SaveResult
    } catch (error) {
      if (!(error instanceof CrewError)) throw error
      await this.#crew.stop()
      this.#crew = this.#start()
      return error
    }
  }

  async stop(): Promise<void> {
    await this.#crew.stop()
  }

  #start(): Supervisor<Task> {
    const { program = 'checkpoint-process.js', job, onLaunch, onLost } = this.#options
    return new Supervisor<Task>({
      ...{ size: 1, entry: join(programs, program), job, onLaunch },
      onEvent: (event) => {
        if (event.kind === 'lost') onLost(event)
      },
    })
  }
}
