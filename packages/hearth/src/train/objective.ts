// What a step minimises. The trainer knows batches and losses; text, images and preferences differ only here.
import { tensor, type Device, type Tensor } from '@hearth/torch'
import type { TextBatch } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { linearCrossEntropy } from '../nn/index.js'
import type { RunBlock } from './segments.js'

/** What a loss may use besides the weights and the batch. */
export interface LossContext {
  /** Runs one block of the model; recomputes it in the backward pass when activations are not kept. */
  runBlock: RunBlock
  device: Device
  /** Decides what is random: a function of the run's seed, the batch and the slot. */
  seed: number
}

/** The loss of a model on a batch. `Weights` is the model's own tree, in the arithmetic of the step. */
export interface Objective<Weights, Batch> {
  name: string
  /** Mean loss over the batch: a scalar that autograd can walk back from. */
  loss(weights: Weights, batch: Batch, context: LossContext): Tensor
  /** Tokens (or pictures) that the batch trains on: for throughput. */
  size(batch: Batch): number
}

/** Token ids of a batch as a tensor of shape (B, T). */
export function idsOf(ids: Int32Array, shape: readonly [number, number], device: Device): Tensor {
  return tensor(ids, { dtype: 'int64', shape, device })
}

/** Next-token prediction: mean cross-entropy in nats per token. */
export function nextToken(model: Pick<LanguageModel, 'family' | 'config'>): Objective<unknown, TextBatch> {
  return {
    name: 'next-token',
    loss: (weights, { inputs, targets, documents, shape }, { runBlock, device, seed }) => {
      const { family, config } = model
      const tensorOf = (ids: Int32Array) => idsOf(ids, shape, device)
      const packed = documents === undefined ? {} : { documents: tensorOf(documents) }
      const options = { ...packed, runBlock, dropoutSeed: seed }
      const hidden = family.hidden(weights, config, tensorOf(inputs), options) // (B, T, D)
      return linearCrossEntropy(family.projection(weights), hidden, tensorOf(targets))
    },
    size: (batch) => batch.targets.length,
  }
}
