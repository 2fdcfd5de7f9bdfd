// The tasks of training that workers share, each a function of committed state alone, so that it may be done again by
// another: gradients of some slots, their sum for some weights, the update of some weights, a measurement.
// What is read and written lies in shared memory: banks of the state file, and one bank a part for gradients.
// Not here: which worker does what and when a step is committed (workers.ts).
import { noGrad, scope, type DType, type Tensor } from '@hearth/torch'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { StateFile } from '../checkpoint/index.js'
import type { TaskHandlers } from '../cluster/index.js'
import { clipScale, gradientNorm, squaredNorms, type Optimizer } from '../optim/index.js'
import { hashesOf, type Hashes } from './bank-hashes.js'
import { SlotSum, type Named } from './gradients.js'
import type { HeldOutLoss } from './held-out.js'
import type { TrainingModel } from './training-model.js'
import { computeLeaves, releaseLeaves, runSlot, runSlots, type SlotsResult } from './slots.js'

/** Where a step reads and writes. */
interface Banks {
  from: number
  to: number
}

/** `step` counts updates from 0; `batch` is the position in the data, which is ahead of it when batches were skipped. */
export type TrainTask =
  /** Everything of a step, where one worker does it all. */
  | ({ kind: 'step'; step: number; batch: number; learningRate: number } & Banks)
  /** Gradients of some slots, into the part's bank. */
  | { kind: 'part'; batch: number; from: number; part: number; slots: readonly number[] }
  /** The sum over all parts, or the first of them, for these weights, into the last bank. */
  | { kind: 'sum'; paths: readonly string[]; parts?: number }
  /** Squared norms of what lies there now. */
  | { kind: 'norms'; paths: readonly string[] }
  /** The update of these weights. */
  | ({ kind: 'update'; step: number; paths: readonly string[]; learningRate: number; gradientScale: number } & Banks)
  /** What is in a bank of these weights and their moments: a checksum of each. */
  | { kind: 'hash'; bank: number; paths: readonly string[] }
  | { kind: 'evaluate'; from: number; maxTokens: number | undefined }

/** What `step` and `part` give. */
export interface SlotLosses {
  losses: number[]
  size: number
  /** Of `step` alone: before clipping. */
  gradientNorm?: number
}

export interface WorkerOptions {
  model: TrainingModel
  state: StateFile
  /** A bank for each part, and one for their sum; undefined where one worker does whole steps. */
  gradients: StateFile | undefined
  parts: number
  optimizer: Optimizer
  dtype: DType
  clip: number
}

type Result = SlotLosses | Record<string, number> | HeldOutLoss | undefined

export class WorkerTasks implements TaskHandlers<TrainTask> {
  readonly #options: WorkerOptions
  /** All banks, mapped once. */
  readonly #banks: readonly Named[]
  #spoiled = false

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#banks = Array.from({ length: options.state.banks }, (_, bank) => options.state.bank(bank))
  }

  async run(task: TrainTask): Promise<Result> {
    switch (task.kind) {
      case 'step':
        return await this.#step(task)
      case 'part':
        return await this.#part(task)
      case 'sum':
        return this.#sum(task.paths, task.parts)
      case 'norms':
        return scope(() => squaredNorms(this.#sums(task.paths)))
      case 'update':
        scope(() => this.#update(task, this.#sums(task.paths)))
        return undefined
      case 'hash':
        return this.#hash(task)
      case 'evaluate':
        return await this.#evaluate(task)
    }
  }

  /** The next gradient has a number that is none. */
  spoil(): void {
    this.#spoiled = true
  }

  async #step(task: Extract<TrainTask, { kind: 'step' }>): Promise<SlotLosses> {
    const { slots } = this.#options.model.slotOptions
    const done = await this.#gradientsOf(task.from, task.batch, [...Array(slots).keys()])
    try {
      const norm = gradientNorm(done.gradients) / slots
      const gradientScale = clipScale(norm, this.#options.clip) / slots
      if (Number.isFinite(norm))
        this.#update({ ...task, paths: Object.keys(done.gradients), gradientScale }, done.gradients)
      return { losses: done.losses, size: done.size, gradientNorm: norm }
    } finally {
      dispose(done.gradients)
    }
  }

  async #part({ from, batch, part, slots }: Extract<TrainTask, { kind: 'part' }>): Promise<SlotLosses> {
    const done = await this.#gradientsOf(from, batch, slots)
    const bank = this.#options.gradients!
    noGrad(() => scope(() => Object.entries(done.gradients).forEach(([path, g]) => bank.tensor(part, path).copy_(g))))
    dispose(done.gradients)
    return { losses: done.losses, size: done.size }
  }

  async #gradientsOf(from: number, batch: number, slots: readonly number[]): Promise<SlotsResult> {
    const { model, dtype } = this.#options
    const weights = this.#weights(from)
    const leaves = computeLeaves(weights, dtype)
    try {
      const run = (slot: number) => runSlot(model.slotOptions, model.tree, leaves, batch, slot)
      const done = await runSlots(slots, run, nextTurn)
      if (this.#spoiled) noGrad(() => scope(() => Object.values(done.gradients)[0]!.mul_(NaN)))
      this.#spoiled = false
      return done
    } finally {
      releaseLeaves(leaves, weights)
    }
  }

  /** Sums the parts in their fixed tree, weight by weight; gives the squared norms of the sums. */
  #sum(paths: readonly string[], summed = this.#options.parts): Record<string, number> {
    const { gradients, parts } = this.#options
    const addUp = (path: string) => {
      const sum = new SlotSum()
      // The parts stay as they are: if this worker is lost, another adds them up again.
      for (let part = 0; part < summed; part++) sum.add({ [path]: gradients!.tensor(part, path).clone() })
      gradients!.tensor(parts, path).copy_(sum.finish()[path]!)
    }
    noGrad(() => paths.forEach((path) => scope(() => addUp(path))))
    return scope(() => squaredNorms(this.#sums(paths)))
  }

  #update(
    { step, from, to, paths, learningRate, gradientScale }: Omit<Extract<TrainTask, { kind: 'update' }>, 'kind'>,
    gradients: Named,
  ): void {
    const { optimizer } = this.#options
    const [weights, state] = [this.#weights(from), this.#moments(from)]
    const into = { weights: this.#weights(to), state: this.#moments(to) }
    const chosen = Object.fromEntries(paths.map((path) => [path, weights[path]!]))
    optimizer.update({ weights: chosen, gradients, state, into, step, learningRate, gradientScale })
  }

  /** What `sum` left. */
  #sums(paths: readonly string[]): Named {
    const { gradients, parts } = this.#options
    return Object.fromEntries(paths.map((path) => [path, gradients!.tensor(parts, path)]))
  }

  #hash({ bank, paths }: Extract<TrainTask, { kind: 'hash' }>): Hashes {
    const own = new Set(paths)
    return hashesOf(Object.fromEntries(Object.entries(this.#banks[bank]!).filter(([name]) => own.has(weightOf(name)))))
  }

  async #evaluate({ from, maxTokens }: Extract<TrainTask, { kind: 'evaluate' }>): Promise<HeldOutLoss> {
    return await this.#options.model.evaluate(this.#weights(from), maxTokens)
  }

  #weights(bank: number): Named {
    return this.#under(bank, 'weights.')
  }

  #moments(bank: number): Named {
    return this.#under(bank, 'optimizer.')
  }

  /** The tensors of a bank whose names begin so, without that beginning. */
  #under(bank: number, prefix: string): Named {
    const chosen = Object.entries(this.#banks[bank]!).filter(([name]) => name.startsWith(prefix))
    return Object.fromEntries(chosen.map(([name, tensor]) => [name.slice(prefix.length), tensor]))
  }
}

/** The path of the weight that a tensor of the state belongs to: `optimizer.m.embed.weight` → `embed.weight`. */
const weightOf = (name: string) => name.replace(/^(weights|optimizer\.[^.]+)\./, '')

const dispose = (named: Record<string, Tensor>) => Object.values(named).forEach((tensor) => tensor.dispose())
