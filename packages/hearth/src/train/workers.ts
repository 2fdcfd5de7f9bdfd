// Steps done by workers: each step is rounds of tasks, and then a commit. Whatever happens to workers within a round is
// the supervisor's concern; a step that was not committed did not happen. The bits are those of Trainer (trainer.ts).
import type { StateFile } from '../checkpoint/index.js'
import type { Supervisor } from '../cluster/index.js'
import { clipScale, normOf, type Schedule } from '../optim/index.js'
import { groupsOf, partsOf } from './shares.js'
import type { Step } from './trainer.js'
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
  /** Told of each attempt at a step whose gradient is not finite. */
  onNotFinite: (step: number, action: 'again' | 'skipped') => void
}

/** What a step comes to before it is committed. */
interface Outcome extends SlotLosses {
  gradientNorm: number
}

/** Steps whose gradient is not finite are done again this often: a fault of the moment is not one of the data. */
const TRIES = 2

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

  /** Steps done so far. */
  get step(): number {
    return this.#options.state.committed!.step
  }

  /** Does steps until `last` of them are done; stop by leaving the loop, always between two steps. */
  async *steps(last: number): AsyncGenerator<Step, void, void> {
    while (this.step < last) yield await this.#nextStep()
  }

  async #nextStep(): Promise<Step> {
    const started = performance.now()
    const { state, schedule, slots } = this.#options
    const { step, bank: from } = state.committed!
    const learningRate = schedule(step)
    const to = await this.#options.freeBank()
    const { losses, size, gradientNorm } = await this.#tryStep({ step, from, to, learningRate })
    const skipped = !Number.isFinite(gradientNorm)
    state.commit(step + 1, skipped ? from : to, {})
    const loss = losses.reduce((sum, each) => sum + each, 0) / slots
    const seconds = (performance.now() - started) / 1000
    return { number: step + 1, loss, learningRate, gradientNorm, size, seconds, skipped }
  }

  async #tryStep(task: { step: number; from: number; to: number; learningRate: number }): Promise<Outcome> {
    const attempt = () => (this.#parts.length === 1 ? this.#whole(task) : this.#shared(task))
    let outcome = await attempt()
    for (let tries = 1; !Number.isFinite(outcome.gradientNorm); tries++) {
      this.#options.onNotFinite(task.step + 1, tries < TRIES ? 'again' : 'skipped')
      if (tries === TRIES) break
      outcome = await attempt()
    }
    return outcome
  }

  async #whole(task: { step: number; from: number; to: number; learningRate: number }): Promise<Outcome> {
    const [done] = await this.#options.supervisor.run('step', [{ kind: 'step', batch: task.step, ...task }])
    return done as Outcome
  }

  async #shared({ step, from, to, learningRate }: { step: number; from: number; to: number; learningRate: number }) {
    const { supervisor, slots, clip, sizes } = this.#options
    const parts = this.#parts.map((slots, part): TrainTask => ({ kind: 'part', batch: step, from, part, slots }))
    const done = (await supervisor.run('gradients', parts)) as SlotLosses[]
    const sums = this.#groups.map((paths): TrainTask => ({ kind: 'sum', paths }))
    const found = (await supervisor.run('sum', sums)) as Record<string, number>[]
    const squared = Object.fromEntries(found.flatMap((each) => Object.entries(each)))
    const gradientNorm = normOf(Object.keys(sizes).map((path) => squared[path]!)) / slots
    if (Number.isFinite(gradientNorm)) {
      const gradientScale = clipScale(gradientNorm, clip) / slots
      const common = { step, from, to, learningRate, gradientScale }
      await supervisor.run(
        'update',
        this.#groups.map((paths): TrainTask => ({ kind: 'update', ...common, paths })),
      )
    }
    const losses = done.flatMap(({ losses }) => losses)
    return { losses, size: done.reduce((sum, { size }) => sum + size, 0), gradientNorm }
  }
}
