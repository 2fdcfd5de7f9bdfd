// The configuration behind `hearth adapt MODEL DATA --recipe NAME`: what each recipe means, and how many steps it takes.
import { basename, resolve } from 'node:path'
import { readRows, RowBatches, type PreparedRows, type Tokenizer } from 'hearth/data'
import { loadModel } from 'hearth/formats'
import type { ModelShape } from 'hearth/models'
import { checksBesideText, readRunRows, resolveConfig, type RunConfig } from 'hearth/train'
import { allOrRefusals, CommandError } from './failure.js'
import { modelFolder } from './model-source.js'
import { applySettings } from './settings.js'

export interface AdaptationOptions {
  recipe: string
  data: readonly string[]
  name: string | undefined
  template: string | undefined
  merge: boolean
  base: string | undefined
  set: readonly string[]
  workers: number | undefined
}

/** A model that can be read. */
interface Base {
  folder: string
  shape: Pick<ModelShape, 'contextLength' | 'layers'>
}

/** A run that can be started, and its rows. */
export interface Adaptation {
  config: RunConfig
  tokenizer: Tokenizer
  rows: PreparedRows
}

/**
 * The configuration that a line means, and its rows as tokens.
 * @param word as modelFolder()
 * @throws CommandError and HearthErrors with everything that is wrong with the model, the rows and the settings
 */
export async function openAdaptation(word: string, options: AdaptationOptions): Promise<Adaptation> {
  const { data, recipe, set, workers } = options
  if (data.length === 0)
    throw new CommandError(
      'there are no rows to adapt to',
      'hearth adapt MODEL DATA... (.jsonl, .json, .csv, .parquet)',
    )
  const slots = workers === undefined ? [] : [`slots=${workers}`]
  const [base] = await Promise.allSettled([openBase(word)])
  const given = adaptation(base.status === 'fulfilled' ? base.value : UNREADABLE, word, options)
  const settings = applySettings(given, [...slots, ...set], 'adapt')
  const [config] = await Promise.allSettled([
    Promise.resolve(settings).then((all) => resolveConfig(all, `recipe ${recipe}`)),
  ])
  if (base.status === 'rejected' || config.status === 'rejected') {
    await allOrRefusals([valueOf(base), valueOf(config), () => readRows(data)])
    throw new CommandError('the model cannot be adapted')
  }
  let found: Omit<Adaptation, 'config'>
  await allOrRefusals([
    async () => (found = await readRunRows(config.value)),
    ...checksBesideText(config.value, { workers, minWorkers: undefined, replaceSlow: false }),
  ])
  return { config: config.value, ...found! }
}

/** Sizes to resolve a configuration with where the model tells none. */
const UNREADABLE: Base = { folder: '.', shape: { contextLength: 512, layers: 1 } }

async function openBase(word: string): Promise<Base> {
  const folder = resolve(await modelFolder(word))
  const { family, config } = loadModel(folder)
  return { folder, shape: family.shape(config) }
}

const valueOf =
  <T>(result: PromiseSettledResult<T>) =>
  (): T => {
    if (result.status === 'rejected') throw result.reason
    return result.value
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

function adaptation(
  { folder, shape: { contextLength, layers } }: Base,
  word: string,
  { recipe, data, name, template, merge, base }: AdaptationOptions,
): object {
  const { adapt, learningRate } = RECIPES[recipe]!
  // Freezing keeps all but the last block and what follows it, unless it is told otherwise.
  const train = recipe === 'freeze' ? { train: [`blocks.${layers - 1}`, 'norm'] } : {}
  return {
    name: name ?? `${basename(resolve(word)).replace(/[^\w.-]+/g, '-')}-${recipe}`,
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
