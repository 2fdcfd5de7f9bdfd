// Where a model forgets at random in training, and with which random numbers: functions of one seed, the layer and the
// place. Not here: the masks themselves (nn/dropout.ts); what makes the seed of a slot (train/slots.ts).
import { scope, type Tensor } from '@hearth/torch'
import { hashCounters } from '../data/index.js'
import { dropout, linear, type Dropout, type Linear } from '../nn/index.js'

/** A place of a layer; each has masks of its own. */
export type DropoutPlace = 'embedding' | 'attention' | 'attentionOut' | 'feedForward'

const PLACES: Record<DropoutPlace, number> = { embedding: 0, attention: 1, attentionOut: 2, feedForward: 3 }

/** The dropout of a place at a rate; undefined where nothing is forgotten. */
export type DropoutAt = (place: DropoutPlace, rate: number) => Dropout | undefined

/**
 * @param seed of the whole pass; undefined outside of training
 * @param layer its number; -1 before the blocks
 */
export function dropoutOf(seed: number | undefined, layer: number): DropoutAt {
  return (place, rate) => {
    if (seed === undefined || rate === 0) return undefined
    return { rate, seed: hashCounters(seed, layer + 1, PLACES[place]) }
  }
}

/** residual + dropout(x Wᵀ + b): in one pass where nothing is forgotten. */
export function addLinear(weights: Linear, x: Tensor, residual: Tensor, forget: Dropout | undefined): Tensor {
  if (forget === undefined) return linear(weights, x, { residual })
  return scope(() => residual.add(dropout(linear(weights, x), forget)))
}
