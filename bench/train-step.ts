// One side of the training benchmarks: a trainer on a model of any shape over fixed random tokens. Not a benchmark by itself.
import type { DType } from '@hearth/torch'
import type { TextBatch } from 'hearth/data'
import { createModel, presetConfigs, type ModelShape } from 'hearth/models'
import { adamw } from 'hearth/optim'
import { nextToken, Trainer } from 'hearth/train'

export interface TrainStepOptions {
  /** As in config.json. */
  config: Record<string, unknown>
  batch: number
  sequenceLength: number
  dtype: DType
  activationCheckpointing?: boolean
}

/** A preset by name, with room for `sequenceLength` positions. */
export function configOf(preset: string, sequenceLength: number): Record<string, unknown> {
  const config = presetConfigs[preset]
  if (config === undefined)
    throw new Error(`no preset '${preset}'; there are: ${Object.keys(presetConfigs).join(', ')}`)
  const key = config.model_type === 'gpt2' ? 'n_positions' : 'max_position_embeddings'
  return { ...config, [key]: Math.max(sequenceLength, Number(config[key] ?? 1024)) }
}

export class TrainStep {
  readonly shape: ModelShape
  readonly #steps: AsyncIterator<{ seconds: number }>

  constructor({ config, batch, sequenceLength, dtype, activationCheckpointing = false }: TrainStepOptions) {
    const model = createModel(config, { seed: 1 })
    this.shape = model.family.shape(model.config)
    const { vocabularySize } = this.shape
    const ids = (salt: number) =>
      Int32Array.from({ length: batch * sequenceLength }, (_, i) => (i * 7919 + salt) % vocabularySize)
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
      activationCheckpointing,
    })
    this.#steps = trainer.steps(Infinity)
  }

  async seconds(): Promise<number> {
    const { value } = (await this.#steps.next()) as { value: { seconds: number } }
    return value.seconds
  }
}
