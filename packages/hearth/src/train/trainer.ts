// The trainer: an async generator of optimizer steps over any objective. It holds the float32 master weights and the
// optimizer's state, and nothing else: which batch, which learning rate and which random numbers a step uses are
// functions of its number. Files, logs and measurements are hooks around it (run.ts).
import {
  backward,
  isFloating,
  keep,
  manualSeed,
  noGrad,
  scope,
  type Device,
  type DType,
  type Tensor,
} from '@hearth/torch'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { hashCounters } from '../data/index.js'
import { clipScale, gradientNorm, type Optimizer, type OptimizerState, type Schedule } from '../optim/index.js'
import { fillTree, flattenTree } from '../tree/index.js'
import { SlotSum, takeGradients, type Named } from './gradients.js'
import type { Objective } from './objective.js'
import { keepActivations, Segments } from './segments.js'

/** Where batches come from: a function of (step, slot) alone. */
export interface StepBatches<Batch> {
  slotAt(step: number, slot: number, slots: number): Batch
}

export interface TrainerOptions<Weights, Batch> {
  /** Master weights in float32: updated in place. */
  weights: Weights
  objective: Objective<Weights, Batch>
  batches: StepBatches<Batch>
  optimizer: Optimizer
  schedule: Schedule
  /** Equal parts of the global batch, summed in a fixed tree. */
  slots: number
  /** Largest global gradient norm. */
  clip: number
  /** Arithmetic of forward and backward. */
  dtype: DType
  device: Device
  seed: number
  activationCheckpointing: boolean
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
    const { slots, schedule } = this.#options
    const leaves = this.#computeLeaves()
    const sum = new SlotSum()
    let loss = 0
    let size = 0
    try {
      for (let slot = 0; slot < slots; slot++) {
        const done = this.#runSlot(leaves, slot)
        sum.add(done.gradients)
        loss += done.loss
        size += done.size
        // Signals and timers are heard between slots: the work itself never waits.
        await nextTurn()
      }
      const learningRate = schedule(this.#step)
      const gradientNorm = noGrad(() => scope(() => this.#update(sum.finish(), learningRate)))
      this.#step++
      const skipped = !Number.isFinite(gradientNorm)
      return {
        number: this.#step,
        loss: loss / slots,
        learningRate,
        gradientNorm,
        size,
        seconds: (performance.now() - started) / 1000,
        skipped,
      }
    } finally {
      sum.clear()
      if (leaves !== this.#weights) Object.values(leaves).forEach((leaf) => leaf.dispose())
    }
  }

  /** The weights in the arithmetic of the step, as leaves of autograd: the masters themselves where nothing changes. */
  #computeLeaves(): Named {
    const { dtype } = this.#options
    const same = Object.values(this.#weights).every((weight) => weight.dtype === dtype || !isFloating(weight.dtype))
    if (same) {
      Object.values(this.#weights).forEach((weight) => weight.setRequiresGrad(true))
      return this.#weights
    }
    const cast = (weight: Tensor) => keep(weight.detach().to(dtype)).setRequiresGrad(true)
    return scope(() => Object.fromEntries(Object.entries(this.#weights).map(([path, weight]) => [path, cast(weight)])))
  }

  /** Forward and backward of one slot; the gradients are float32 and kept. */
  #runSlot(leaves: Named, slot: number): { gradients: Named; loss: number; size: number } {
    const { objective, batches, slots, seed, weights, activationCheckpointing, device } = this.#options
    return scope(() => {
      // Randomness is a function of (seed, step, slot), never of history.
      manualSeed(hashCounters(seed, this.#step, slot))
      const batch = batches.slotAt(this.#step, slot, slots)
      const segments = activationCheckpointing ? new Segments() : undefined
      const tree = fillTree(weights, (path) => leaves[path]!)
      const loss = objective.loss(tree, batch, { runBlock: segments?.run ?? keepActivations, device })
      const value = loss.item()
      if (segments) segments.backward(loss)
      else backward(loss)
      const gradients = takeGradients(leaves)
      for (const [path, gradient] of Object.entries(gradients)) gradients[path] = keep(gradient.to('float32'))
      return { gradients, loss: value, size: objective.size(batch) }
    })
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
