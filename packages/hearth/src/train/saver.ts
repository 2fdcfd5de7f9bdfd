// Writes durable checkpoints of a state file through a process of its own (checkpoint-process.ts), and puts another in
// its place when that ends again and again: a checkpoint that was not written never ends a run. Not here: when one is due.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { CrewError, Supervisor, type CrewEvent } from '../cluster/index.js'
import type { SaverJob, SaveResult, SaveTask } from './checkpoint-process.js'

export interface SaverOptions {
  job: SaverJob
  onLaunch?: (pid: number) => void
  onLost: (event: Extract<CrewEvent, { kind: 'lost' }>) => void
}

/** The compiled programs lie beside this package's public face, also when its sources are run by a test. */
export const programs = dirname(createRequire(import.meta.url).resolve('hearth/train'))

export class Saver {
  readonly #options: SaverOptions
  #crew: Supervisor<SaveTask>

  constructor(options: SaverOptions) {
    this.#options = options
    this.#crew = this.#start()
  }

  get processes(): Supervisor<SaveTask>['processes'] {
    return this.#crew.processes
  }

  /** For drills. */
  readonly inject: Supervisor<SaveTask>['inject'] = (place, fault) => this.#crew.inject(place, fault)

  /** Never rejects because its process ended: that is a checkpoint which was not saved. */
  async save(task: SaveTask): Promise<SaveResult> {
    const first = await this.#try(task)
    // The crew may have given up before, with nothing to save: a new one is worth a second attempt.
    const result = first instanceof CrewError ? await this.#try(task) : first
    if (!(result instanceof CrewError)) return result
    return { saved: false, problem: `the checkpoint of step ${task.step} was not saved: ${result.reason}` }
  }

  async #try(task: SaveTask): Promise<SaveResult | CrewError> {
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

  #start(): Supervisor<SaveTask> {
    const { job, onLaunch, onLost } = this.#options
    return new Supervisor<SaveTask>({
      ...{ size: 1, entry: join(programs, 'checkpoint-process.js'), job, onLaunch },
      onEvent: (event) => {
        if (event.kind === 'lost') onLost(event)
      },
    })
  }
}
