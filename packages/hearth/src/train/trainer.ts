// The trainer: an async generator of optimizer steps over any objective. It holds the float32 master weights and the
// optimizer's state, and nothing else: which batch, which learning rate and which random numbers a step uses are
// functions of its number. Files, logs and measurements are hooks around it (run.ts).
import { noGrad, scope } from '@hearth/torch'
import { clipScale, gradientNorm, type Optimizer, type OptimizerState, type Schedule } from '../optim/index.js'
import { flattenTree } from '../tree/index.js'
import { hearEvents } from './event-loop.js'
import type { Named } from './gradients.js'
import { computeLeaves, releaseLeaves, runSlot, runSlots, type SlotOptions } from './slots.js'

export interface TrainerOptions<Weights, Batch> extends SlotOptions<Weights, Batch> {
  /** Master weights in float32: updated in place. */
  weights: Weights
  optimizer: Optimizer
  schedule: Schedule
  /** Largest global gradient norm. */
  clip: number
}

/** One optimizer step that was done. */
export interface Step {
  /** Steps done, this one included: the first is 1. */
  number: number
  /** Mean loss over the global batch, before the update. */
  loss: number
  learningRate: number
  /** Global norm before clipping. */
  gradientNorm: number
  /** Tokens (or pictures) trained on. */
  size: number
  seconds: number
  /** The gradient was not finite, and the weights were left as they are. */
  skipped: boolean
}

/** Everything a run needs to go on with the same bits. */
export interface TrainerState {
  step: number
  /** Weights under `weights.`, optimizer state under `optimizer.`: the trainer's own tensors, not copies. */
  tensors: Named
}

/**
 * Trains `weights` in place, one step a turn.
 * @example
 * for await (const step of trainer.steps(1000)) console.log(step.number, step.loss)
 */
export class Trainer<Weights, Batch> {
  readonly #options: TrainerOptions<Weights, Batch>
  readonly #weights: Named
  readonly #state: OptimizerState
  #step = 0

  constructor(options: TrainerOptions<Weights, Batch>) {
    this.#options = options
    this.#weights = flattenTree(options.weights)
    this.#state = options.optimizer.init(this.#weights)
  }

  /** Steps done so far. */
  get step(): number {
    return this.#step
  }

  get state(): TrainerState {
    const tensors: Named = {}
    for (const [path, weight] of Object.entries(this.#weights)) tensors[`weights.${path}`] = weight
    for (const [path, moment] of Object.entries(this.#state)) tensors[`optimizer.${path}`] = moment
    return { step: this.#step, tensors }
  }

  /** Takes over a saved state: values are copied into the trainer's own tensors. */
  restore(saved: TrainerState): void {
    const mine = this.state.tensors
    noGrad(() => scope(() => Object.entries(mine).forEach(([path, tensor]) => tensor.copy_(saved.tensors[path]!))))
    this.#step = saved.step
  }

  /** Does steps until `last` of them are done; stop by leaving the loop, always between two steps. */
  async *steps(last: number): AsyncGenerator<Step, void, void> {
    while (this.#step < last) yield await this.#nextStep()
  }

  async #nextStep(): Promise<Step> {
    const started = performance.now()
    const { schedule } = this.#options
    const { gradients, losses, size } = await this.#runSlots()
    const learningRate = schedule(this.#step)
    const gradientNorm = noGrad(() => scope(() => this.#update(gradients, learningRate)))
    this.#step++
    return {
      number: this.#step,
      loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      learningRate,
      gradientNorm,
      size,
      seconds: (performance.now() - started) / 1000,
      skipped: !Number.isFinite(gradientNorm),
    }
  }

  async #runSlots() {
    const { slots, dtype, weights } = this.#options
    const leaves = computeLeaves(this.#weights, dtype)
    const all = Array.from({ length: slots }, (_, slot) => slot)
    try {
      return await runSlots(all, (slot) => runSlot(this.#options, weights, leaves, this.#step, slot), hearEvents)
    } finally {
      releaseLeaves(leaves, this.#weights)
    }
  }

  /** Mean over slots, clipping and update in one pass; a gradient that is not finite changes nothing. Returns the norm. */
  #update(gradients: Named, learningRate: number): number {
    const { slots, clip, optimizer } = this.#options
    try {
      const norm = gradientNorm(gradients) / slots
      const gradientScale = clipScale(norm, clip) / slots
      const { step } = this
      if (Number.isFinite(norm))
        optimizer.update({ weights: this.#weights, gradients, state: this.#state, step, learningRate, gradientScale })
      return norm
    } finally {
      Object.values(gradients).forEach((gradient) => gradient.dispose())
    }
  }
}
