// The configuration behind `hearth adapt MODEL DATA --recipe NAME`: what each recipe means, and how many steps it takes.
import { RowBatches, type PreparedRows } from 'hearth/data'
import { loadModel } from 'hearth/formats'
import { resolveConfig, type RunConfig } from 'hearth/train'
import { CommandError } from './failure.js'

export interface AdaptationOptions {
  recipe: string
  folder: string
  data: readonly string[]
  name: string
  template: string | undefined
  merge: boolean
  base: string | undefined
}

/** Learning rates that the field uses: adapters take ten times what whole weights do, preferences a tenth of either. */
const RECIPES: Readonly<Record<string, { adapt: object; learningRate: number }>> = {
  lora: { adapt: { method: 'lora' }, learningRate: 2e-4 },
  qlora: { adapt: { method: 'lora', base: 'nf4' }, learningRate: 2e-4 },
  dora: { adapt: { method: 'dora' }, learningRate: 2e-4 },
  freeze: { adapt: { method: 'freeze' }, learningRate: 2e-5 },
  full: { adapt: { method: 'full' }, learningRate: 2e-5 },
  dpo: { adapt: { objective: 'dpo' }, learningRate: 2e-5 },
  orpo: { adapt: { objective: 'orpo' }, learningRate: 2e-5 },
  kto: { adapt: { objective: 'kto' }, learningRate: 2e-5 },
}

/** The learning rate of a recipe. */
export const recipeRate = (recipe: string): number => RECIPES[recipe]!.learningRate

/** @throws CommandError without data */
export function adaptation({ recipe, folder, data, name, template, merge, base }: AdaptationOptions): object {
  if (data.length === 0)
    throw new CommandError(
      'there are no rows to adapt to',
      'hearth adapt MODEL DATA... (.jsonl, .json, .csv, .parquet)',
    )
  const { adapt, learningRate } = RECIPES[recipe]!
  const { family, config } = loadModel(folder)
  const { contextLength, layers } = family.shape(config)
  // Freezing keeps all but the last block and what follows it, unless it is told otherwise.
  const train = recipe === 'freeze' ? { train: [`blocks.${layers - 1}`, 'norm'] } : {}
  return {
    name,
    steps: 1000,
    batch: 8,
    sequenceLength: Math.min(512, contextLength),
    model: { folder },
    data: { sources: data.map((path) => ({ path })) },
    adapt: {
      ...adapt,
      ...train,
      merge,
      ...(base !== undefined && { base }),
      ...(template !== undefined && { template }),
    },
    optimizer: { learningRate, weightDecay: 0, beta2: 0.99 },
    schedule: { kind: 'cosine', warmupSteps: 0, minRatio: 0.1 },
    every: { log: 5, evaluate: 100, checkpoint: 100 },
  }
}

/** The configuration with the steps that `epochs` take, of which a tenth at most warms up. */
export function withSteps(config: RunConfig, rows: PreparedRows, epochs: number): RunConfig {
  const { batch, sequenceLength, seed, adapt } = config
  const { units } = new RowBatches(rows.train, { batch, sequenceLength, seed, packing: adapt!.packing })
  const steps = Math.max(1, Math.ceil((units * epochs) / batch))
  const warmupSteps = Math.min(20, Math.floor(steps / 10))
  return resolveConfig({ ...config, steps, schedule: { ...config.schedule, warmupSteps } })
}
