// Batches whose numbers go wrong, for drills and tests: each time they are trained on, on whichever worker. What the
// poison of real data does, without real data.
import type { Objective } from '../objective.js'
import type { SlotOptions } from '../slots.js'

export interface Poison {
  /** Positions of batches whose loss is no number. */
  nan?: readonly number[]
  /** Of batches whose loss is ten times as high. */
  spike?: readonly number[]
}

type Poisonable<Weights, Batch> = Pick<SlotOptions<Weights, Batch>, 'objective' | 'batches'>

const SPIKE = 10

/** The same objective and batches, with the poison in them. */
export function poisoned<Weights, Batch, Options extends Poisonable<Weights, Batch>>(
  options: Options,
  { nan = [], spike = [] }: Poison,
): Options {
  let at = -1
  const factor = () => (nan.includes(at) ? NaN : spike.includes(at) ? SPIKE : 1)
  const objective: Objective<Weights, Batch> = {
    ...options.objective,
    loss: (...given) => options.objective.loss(...given).mul(factor()),
  }
  const slotAt = (batch: number, slot: number, slots: number) => options.batches.slotAt((at = batch), slot, slots)
  return { ...options, objective, batches: { slotAt } }
}
