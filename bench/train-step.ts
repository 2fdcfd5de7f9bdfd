// One side of the training benchmark: a trainer on GPT-2 over fixed random tokens. Not a benchmark by itself.
import type { DType } from '@hearth/torch'
import type { TextBatch } from 'hearth/data'
import { createModel } from 'hearth/models'
import { adamw } from 'hearth/optim'
import { nextToken, Trainer } from 'hearth/train'
import { countParameters } from 'hearth/tree'

export interface TrainStepOptions {
  layers: number
  width: number
  heads: number
  batch: number
  sequenceLength: number
  dtype: DType
}

export class TrainStep {
  readonly parameters: number
  readonly #steps: AsyncIterator<{ seconds: number }>

  constructor({ layers, width, heads, batch, sequenceLength, dtype }: TrainStepOptions) {
    const config = { model_type: 'gpt2', n_layer: layers, n_embd: width, n_head: heads, vocab_size: 50257 }
    const model = createModel(config, { seed: 1 })
    this.parameters = countParameters(model.weights)
    const ids = (salt: number) =>
      Int32Array.from({ length: batch * sequenceLength }, (_, i) => (i * 7919 + salt) % 50257)
    const shape: TextBatch['shape'] = [batch, sequenceLength]
    const trainer = new Trainer({
      weights: model.weights,
      objective: nextToken(model),
      batches: { slotAt: (step) => ({ inputs: ids(step), targets: ids(step + 7919), shape }) },
      optimizer: adamw({ weightDecay: 0.1 }),
      schedule: () => 6e-4,
      slots: 1,
      clip: 1,
      dtype,
      device: 'cpu',
      seed: 1,
      activationCheckpointing: false,
    })
    this.#steps = trainer.steps(Infinity)
  }

  async seconds(): Promise<number> {
    const { value } = (await this.#steps.next()) as { value: { seconds: number } }
    return value.seconds
  }
}
