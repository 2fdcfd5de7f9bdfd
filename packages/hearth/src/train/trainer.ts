// The trainer: an async generator of optimizer steps over any objective. It holds the master weights and the
// optimizer's state, and nothing else: which learning rate and which random numbers a step uses are functions of its
// number, and which batch is that number and the batches that its judge left out before it. Files, logs and measurements
// are hooks around it (run.ts).
import { noGrad, scope, type Tensor } from '@hearth/torch'
import {
  clipScale,
  gradientNorm as globalNorm,
  normOf,
  squaredNorms,
  type Optimizer,
  type OptimizerState,
  type Schedule,
} from '../optim/index.js'
import { flattenTree } from '../tree/index.js'
import { hearEvents } from './event-loop.js'
import type { Named } from './gradients.js'
import { Judge, TrainingError } from './judge.js'
import { judgedSteps, type Attempt } from './judged-steps.js'
import { computeLeaves, releaseLeaves, runSlot, runSlots, type SlotOptions } from './slots.js'
import { visitGradients, type GradientVisitor } from './update-in-backward.js'

export interface TrainerOptions<Weights, Batch> extends SlotOptions<Weights, Batch> {
  /** Master weights, float32, or bfloat16 where the optimizer takes them: updated in place. */
  weights: Weights
  optimizer: Optimizer
  schedule: Schedule
  /** Largest global gradient norm; 0 for any. */
  clip: number
  /**
   * Weights are updated as the backward pass completes their gradients, which are freed: for one slot. A norm to clip by
   * is measured in a pass of its own; without, the step is done when its attempt is.
   */
  updateInBackward?: boolean
  /** Says which gradients count. @default one that leaves out batches whose gradient is not finite, and loss spikes */
  judge?: Judge
}

/** One optimizer step that was done. */
export interface Step {
  /** Steps done, this one included: the first is 1. */
  number: number
  /** Its position in the data: ahead of the steps done before it when batches were left out. */
  batch: number
  /** Mean loss over the global batch, before the update. */
  loss: number
  learningRate: number
  /** Global norm before clipping. */
  gradientNorm: number
  /** Tokens (or pictures) trained on. */
  size: number
  /** With attempts that did not count. */
  seconds: number
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
  readonly #judge: Judge
  #step = 0

  constructor(options: TrainerOptions<Weights, Batch>) {
    this.#options = options
    this.#weights = flattenTree(options.weights)
    this.#state = options.optimizer.init(this.#weights)
    this.#judge = options.judge ?? new Judge()
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

  /**
   * Does steps until `last` of them are done; stop by leaving the loop, always between two steps.
   * @throws TrainingError where the judge would go back: a trainer has no checkpoints
   */
  steps(last: number): AsyncGenerator<Step, void, void> {
    const stepOf = () => this.#step
    return judgedSteps(
      {
        judge: this.#judge,
        get step() {
          return stepOf()
        },
        prepare: () => undefined,
        attempt: (step, batch) => this.attempt(step, batch),
        onRefusal: () => undefined,
        keepJudgement: () => undefined,
        rewind: ({ reason }) => Promise.reject(new TrainingError(`training cannot go on: ${reason}`)),
      },
      last,
    )
  }

  /** Computes the gradient of a batch for the next step; committing it updates the weights. */
  async attempt(step: number, batch: number): Promise<Attempt> {
    const { schedule, slots, updateInBackward } = this.#options
    if (updateInBackward) return this.#attemptInBackward(step, batch)
    const { gradients, losses, size } = await this.#runSlots(batch)
    const learningRate = schedule(step)
    const gradientNorm = noGrad(() => scope(() => globalNorm(gradients) / slots))
    const drop = () => Object.values(gradients).forEach((gradient) => gradient.dispose())
    const commit = () => {
      try {
        noGrad(() => scope(() => this.#update(gradients, gradientNorm, learningRate)))
      } finally {
        drop()
      }
    }
    const loss = losses.reduce((sum, each) => sum + each, 0) / losses.length
    return { loss, learningRate, gradientNorm, size, commit, drop }
  }

  async #attemptInBackward(step: number, batch: number): Promise<Attempt> {
    const { schedule, clip } = this.#options
    const learningRate = schedule(step)
    const squares: Record<string, number> = {}
    const measure: GradientVisitor = (path, gradient) => {
      squares[path] = squaredNorms({ [path]: gradient })[path]!
    }
    const update = (scale: number) => (path: string, gradient: Tensor) =>
      this.#updateSome({ [path]: gradient }, learningRate, scale)
    const measureAndUpdate: GradientVisitor = (path, gradient) => {
      measure(path, gradient)
      if (!Number.isFinite(squares[path])) throw halfDone(step + 1, path)
      update(1)(path, gradient)
    }
    const { loss, size } = this.#visit(batch, clip === 0 ? measureAndUpdate : measure)
    await hearEvents()
    // In the order of the weights, as gradientNorm() adds; not finite where the loss is not.
    const gradientNorm = normOf(Object.keys(this.#weights).map((path) => squares[path] ?? NaN))
    const commit = () => {
      if (clip !== 0) this.#visit(batch, update(clipScale(gradientNorm, clip)))
      this.#step++
    }
    return { loss, learningRate, gradientNorm, size, commit, drop: () => undefined }
  }

  #visit(batch: number, visit: GradientVisitor) {
    const { dtype, weights } = this.#options
    const leaves = computeLeaves(this.#weights, dtype)
    try {
      return visitGradients(this.#options, weights, leaves, batch, (path, gradient) =>
        noGrad(() => scope(() => visit(path, gradient))),
      )
    } finally {
      releaseLeaves(leaves, this.#weights)
    }
  }

  async #runSlots(batch: number) {
    const { slots, dtype, weights } = this.#options
    const leaves = computeLeaves(this.#weights, dtype)
    const all = Array.from({ length: slots }, (_, slot) => slot)
    try {
      return await runSlots(all, (slot) => runSlot(this.#options, weights, leaves, batch, slot), hearEvents)
    } finally {
      releaseLeaves(leaves, this.#weights)
    }
  }

  /** Mean over slots, clipping and update in one pass. */
  #update(gradients: Named, norm: number, learningRate: number): void {
    const { slots, clip } = this.#options
    this.#updateSome(gradients, learningRate, clipScale(norm, clip) / slots)
    this.#step++
  }

  /** Of the weights that have a gradient. */
  #updateSome(gradients: Named, learningRate: number, gradientScale: number): void {
    const weights = Object.fromEntries(Object.keys(gradients).map((path) => [path, this.#weights[path]!]))
    const { step } = this
    this.#options.optimizer.update({ weights, gradients, state: this.#state, step, learningRate, gradientScale })
  }
}

const halfDone = (step: number, path: string) =>
  new TrainingError(`the gradient of ${path} is not finite at step ${step}, of which a part is done`, {
    remedy:
      'go on from the last checkpoint with hearth resume; with optimizer.clip above 0 such a batch is left out before anything changes',
  })
