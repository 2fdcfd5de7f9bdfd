// What a worker trains: the model over the weights of a bank, its objective, its data. Made from the run's folder alone,
// where the supervisor prepared everything, so that a worker that replaces another needs nobody's help.
import type { DType } from '@hearth/torch'
import type { TextBatch } from '../data/index.js'
import { configure, type LanguageModel } from '../models/index.js'
import type { RunConfig } from './config.js'
import { poisoned, type Poison } from './drill/poison.js'
import type { Named } from './gradients.js'
import type { HeldOutLoss } from './held-out.js'
import { initialModel } from './run-model.js'
import type { SlotOptions } from './slots.js'
import type { TextData } from './text-data.js'
import { trainedPart } from './trained-part.js'

export interface TrainingModel {
  slotOptions: SlotOptions<unknown, TextBatch>
  /** The tree whose leaves are replaced by those of a bank. */
  tree: unknown
  evaluate(weights: Named, maxTokens: number | undefined): Promise<HeldOutLoss>
}

/**
 * The model of a config.json over given weights.
 * @param weights by path
 */
export function modelOver(configJson: Record<string, unknown>, weights: Named): LanguageModel {
  const { family, config } = configure(configJson)
  return { family, config, weights: family.build(config, { tensor: (path) => weights[path]! }) }
}

/** @param weights of any bank: their values do not matter */
export function trainingModel(
  configJson: Record<string, unknown>,
  weights: Named,
  {
    config,
    data,
    dtype,
    poison = {},
  }: { config: RunConfig; data: TextData; dtype: DType; poison?: Poison | undefined },
): TrainingModel {
  const base = config.adapt ? initialModel(config, data.tokenizer, dtype) : modelOver(configJson, weights)
  const part = trainedPart(config, base)
  const { slots, seed, device, activationCheckpointing } = config
  const { bytesPerToken } = data
  return {
    slotOptions: {
      ...poisoned({ objective: part.objective, batches: data.batches }, poison),
      ...{ slots, seed, device, dtype, activationCheckpointing },
    },
    tree: part.tree,
    evaluate: (weights, maxTokens) =>
      part.measure(weights, data.heldOut(), {
        device,
        ...(maxTokens === undefined ? {} : { maxTokens }),
        ...(bytesPerToken === undefined ? {} : { bytesPerToken }),
      }),
  }
}
