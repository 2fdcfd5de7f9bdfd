// Attempts at steps by workers: each is rounds of tasks, and a commit when it counts. Whatever happens to workers within a
// round is the supervisor's concern; a step that was not committed did not happen. The bits are those of Trainer
// (trainer.ts). Not here: whether an attempt counts (judged-steps.ts).
import type { Json, StateFile } from '../checkpoint/index.js'
import type { Supervisor } from '../cluster/index.js'
import { clipScale, normOf, type Schedule } from '../optim/index.js'
import type { Attempt } from './judged-steps.js'
import { groupsOf, partsOf } from './shares.js'
import type { SlotLosses, TrainTask } from './worker-tasks.js'

export interface WorkersOptions {
  supervisor: Supervisor<TrainTask>
  state: StateFile
  workers: number
  slots: number
  /** Elements of each weight by path, in the order of the weights. */
  sizes: Readonly<Record<string, number>>
  schedule: Schedule
  clip: number
  /** A bank that may be written; resolves when there is one. */
  freeBank: () => Promise<number>
}

/** What a step comes to before it counts. */
interface Outcome extends SlotLosses {
  gradientNorm: number
  /** Writes the next state into the free bank. */
  update: () => Promise<void>
}

/** What is committed with a state, besides its step and bank. */
export type MetaOf = (written: { from: number; to: number; step: number }) => Promise<Json>

interface StepTask {
  step: number
  batch: number
  from: number
  to: number
  learningRate: number
}

export class Workers {
  readonly #options: WorkersOptions
  readonly #parts: number[][]
  readonly #groups: string[][]

  /** @throws ConfigError when the workers cannot have equal shares of the slots */
  constructor(options: WorkersOptions) {
    this.#options = options
    this.#parts = partsOf(options.slots, options.workers)
    this.#groups = groupsOf(options.sizes, options.workers)
  }

  /** Weights in as many shares as there are workers, by path. */
  get groups(): readonly (readonly string[])[] {
    return this.#groups
  }

  /**
   * Computes the gradient of a batch for the next step, as far as the free bank; committing it publishes that bank.
   * @param metaOf what is committed with it, once it counts and the next state is in bank `to`
   */
  async attempt(step: number, batch: number, metaOf: MetaOf): Promise<Attempt> {
    const { state, schedule, slots } = this.#options
    const from = state.committed!.bank
    const learningRate = schedule(step)
    const to = await this.#options.freeBank()
    const { losses, size, gradientNorm, update } = await this.#compute({ step, batch, from, to, learningRate })
    const commit = async () => {
      await update()
      state.commit(step + 1, to, await metaOf({ from, to, step: step + 1 }))
    }
    const loss = losses.reduce((sum, each) => sum + each, 0) / slots
    return { loss, learningRate, gradientNorm, size, commit, drop: () => undefined }
  }

  /** Does the step that led to the committed state once more, from the bank that it read into another. */
  async again(step: number, batch: number, { from, to }: { from: number; to: number }): Promise<void> {
    const learningRate = this.#options.schedule(step)
    const { update } = await this.#compute({ step, batch, from, to, learningRate })
    await update()
  }

  #compute(task: StepTask): Promise<Outcome> {
    return this.#parts.length === 1 ? this.#whole(task) : this.#shared(task)
  }

  /** The worker has updated the free bank by then, where its gradient was finite. */
  async #whole(task: StepTask): Promise<Outcome> {
    const [done] = await this.#options.supervisor.run('step', [{ kind: 'step', ...task }])
    return { ...(done as SlotLosses & { gradientNorm: number }), update: () => Promise.resolve() }
  }

  async #shared({ step, batch, from, to, learningRate }: StepTask): Promise<Outcome> {
    const { supervisor, slots, clip, sizes } = this.#options
    const parts = this.#parts.map((slots, part): TrainTask => ({ kind: 'part', batch, from, part, slots }))
    const done = (await supervisor.run('gradients', parts)) as SlotLosses[]
    const sums = this.#groups.map((paths): TrainTask => ({ kind: 'sum', paths }))
    const found = (await supervisor.run('sum', sums)) as Record<string, number>[]
    const squared = Object.fromEntries(found.flatMap((each) => Object.entries(each)))
    const gradientNorm = normOf(Object.keys(sizes).map((path) => squared[path]!)) / slots
    const update = async () => {
      const gradientScale = clipScale(gradientNorm, clip) / slots
      const common = { step, from, to, learningRate, gradientScale }
      const tasks = this.#groups.map((paths): TrainTask => ({ kind: 'update', ...common, paths }))
      await supervisor.run('update', tasks)
    }
    const losses = done.flatMap(({ losses }) => losses)
    return { losses, size: done.reduce((sum, { size }) => sum + size, 0), gradientNorm, update }
  }
}
