// Forward and backward of one gradient slot: a function of the weights, the batch and the slot alone, so that any process
// may compute it, and compute it again. Not here: sums over slots (gradients.ts), the update (trainer.ts, worker.ts).
import { backward, isFloating, keep, manualSeed, scope, type Device, type DType, type Tensor } from '@hearth/torch'
import { hashCounters } from '../data/index.js'
import { fillTree } from '../tree/index.js'
import { SlotSum, takeGradients, type Named } from './gradients.js'
import type { Objective } from './objective.js'
import { keepActivations, Segments } from './segments.js'

/** Where batches come from: a function of (position, slot) alone. */
export interface StepBatches<Batch> {
  slotAt(step: number, slot: number, slots: number): Batch
}

/** What decides the gradient of a slot, besides the weights. */
export interface SlotOptions<Weights, Batch> {
  objective: Objective<Weights, Batch>
  batches: StepBatches<Batch>
  /** Equal parts of the global batch. */
  slots: number
  /** Arithmetic of forward and backward. */
  dtype: DType
  device: Device
  seed: number
  activationCheckpointing: boolean
}

/** What one slot gives. */
export interface SlotResult {
  /** float32, kept: the caller owns them. */
  gradients: Named
  /** Mean over the slot. */
  loss: number
  /** Tokens (or pictures) of the slot. */
  size: number
}

/**
 * The weights in the arithmetic of the step, as leaves of autograd: the masters themselves where nothing changes.
 * Give them back with `releaseLeaves`.
 */
export function computeLeaves(weights: Named, dtype: DType): Named {
  const same = Object.values(weights).every((weight) => weight.dtype === dtype || !isFloating(weight.dtype))
  if (same) {
    Object.values(weights).forEach((weight) => weight.setRequiresGrad(true))
    return weights
  }
  const cast = (weight: Tensor) => keep(weight.detach().to(dtype)).setRequiresGrad(true)
  return scope(() => Object.fromEntries(Object.entries(weights).map(([path, weight]) => [path, cast(weight)])))
}

export function releaseLeaves(leaves: Named, weights: Named): void {
  if (leaves !== weights) Object.values(leaves).forEach((leaf) => leaf.dispose())
}

/**
 * Forward and backward of one slot.
 * @param tree the tree whose leaves are replaced
 * @param batch position in the data: steps done, and batches left out
 */
export function runSlot<Weights, Batch>(
  options: SlotOptions<Weights, Batch>,
  tree: Weights,
  leaves: Named,
  batch: number,
  slot: number,
): SlotResult {
  const { objective, batches, slots, seed, activationCheckpointing, device } = options
  return scope(() => {
    // Randomness is a function of (seed, batch, slot), never of history.
    const random = hashCounters(seed, batch, slot)
    manualSeed(random)
    const part = batches.slotAt(batch, slot, slots)
    const segments = activationCheckpointing ? new Segments() : undefined
    const filled = fillTree(tree, (path) => leaves[path]!)
    const loss = objective.loss(filled, part, { runBlock: segments?.run ?? keepActivations, device, seed: random })
    const value = loss.item()
    if (segments) segments.backward(loss)
    else backward(loss)
    const gradients = takeGradients(leaves)
    for (const [path, gradient] of Object.entries(gradients)) gradients[path] = keep(gradient.to('float32'))
    return { gradients, loss: value, size: objective.size(part) }
  })
}

/** What some slots give together. */
export interface SlotsResult {
  /** Summed in the fixed tree; the caller owns them. */
  gradients: Named
  /** Of each slot, in order. */
  losses: number[]
  size: number
}

/**
 * Runs slots one after the other.
 * @param between awaited after each slot: signals and timers are heard there
 */
export async function runSlots(
  slots: readonly number[],
  run: (slot: number) => SlotResult,
  between: () => Promise<unknown>,
): Promise<SlotsResult> {
  const sum = new SlotSum()
  const losses: number[] = []
  let size = 0
  try {
    for (const slot of slots) {
      const done = run(slot)
      sum.add(done.gradients)
      losses.push(done.loss)
      size += done.size
      await between()
    }
    return { gradients: sum.finish(), losses, size }
  } finally {
    sum.clear()
  }
}
