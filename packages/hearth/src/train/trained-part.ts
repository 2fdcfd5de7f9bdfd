// What of a model a run trains, and how the whole is had from it: all weights, some of them, or an adapter's matrices
// beside weights that stay. The trainer, optimizers and checkpoints see the trained tensors and nothing else.
import { ConfigError, keep, noGrad, scope, type Tensor } from '@hearth/torch'
import { attachAdapter, adapterWith, createAdapter, mergeAdapter, saveAdapter, type Adapter } from '../adapt/index.js'
import type { RowBatch, TextBatch, Tokenizer } from '../data/index.js'
import { saveModel } from '../formats/index.js'
import type { LanguageModel } from '../models/index.js'
import { fillTree, flattenTree, mapTree } from '../tree/index.js'
import type { AdaptConfig } from './adapt-config.js'
import type { RunConfig } from './config.js'
import type { Named } from './gradients.js'
import { heldOutLoss, heldOutObjective, type HeldOutLoss, type HeldOutOptions } from './held-out.js'
import { nextToken, type Objective } from './objective.js'
import { answers, dpo, kto, orpo, type RowLoss } from './row-objectives.js'
import { keepActivations } from './segments.js'

export interface TrainedPart {
  /** A tree of tensors, float32 unless the run keeps its weights otherwise. */
  tree: unknown
  /** Over trees like that one. */
  objective: Objective<unknown, TextBatch>
  /** The whole model with these tensors in place. */
  model(trained: Named): LanguageModel
  /** Loss on held-out batches with these tensors in place. */
  measure(trained: Named, batches: Iterable<TextBatch>, options: HeldOutOptions): Promise<HeldOutLoss>
  /** Writes what was trained, tokenizer included; returns the folder. */
  export(paths: { model: string; adapter: string }, trained: Named, tokenizer: Tokenizer): Promise<string>
}

/** @param base as initialModel() gives it */
export function trainedPart(config: RunConfig, base: LanguageModel): TrainedPart {
  const { adapt } = config
  if (adapt === undefined) return wholeModel(base)
  return adapt.method === 'lora' || adapt.method === 'dora'
    ? adapterPart(config, adapt, base)
    : weightsPart(config, adapt, base)
}

/** A model that is trained from where it stands, all of it. */
function wholeModel(base: LanguageModel): TrainedPart {
  const model = (trained: Named) => ({ ...base, weights: fillTree(base.weights, (path) => trained[path]!) })
  return {
    tree: base.weights,
    objective: nextToken(base),
    model,
    measure: measureTokens(model),
    export: exportModel(model),
  }
}

const measureTokens =
  (model: TrainedPart['model']): TrainedPart['measure'] =>
  (trained, batches, options) =>
    heldOutLoss(model(trained), batches, options)

/** Answers are measured as any text is, preferences by their objective. */
function measureOf(adapt: AdaptConfig, reference: LanguageModel, model: TrainedPart['model']): TrainedPart['measure'] {
  if (adapt.objective === 'answers') return measureTokens(model)
  const loss = LOSSES[adapt.objective](adapt)
  return (trained, batches, options) => {
    const worn = model(trained)
    const context = { runBlock: keepActivations, device: options.device ?? 'cpu' }
    return heldOutObjective((batch) => loss(worn, batch, context, reference), batches as Iterable<RowBatch>, options)
  }
}

const exportModel =
  (model: TrainedPart['model']): TrainedPart['export'] =>
  async (paths, trained, tokenizer) => {
    await saveModel(paths.model, model(trained), { tokenizer })
    return paths.model
  }

const LOSSES: Record<AdaptConfig['objective'], (adapt: AdaptConfig) => RowLoss> = {
  answers: () => answers,
  dpo,
  orpo,
  kto,
}

/** What an adaptation learns, with the model that it began with as the reference. */
function objectiveOf(
  adapt: AdaptConfig,
  reference: LanguageModel,
  modelWith: (tree: unknown, seed: number) => LanguageModel,
): Objective<unknown, RowBatch> {
  const loss = LOSSES[adapt.objective](adapt)
  return {
    name: adapt.objective,
    loss: (tree, batch, context) => loss(modelWith(tree, context.seed), batch, context, reference),
    size: (batch) => batch.targets.length,
  }
}

function adapterPart(config: RunConfig, adapt: AdaptConfig, base: LanguageModel): TrainedPart {
  const { rank, alpha, dropout, rsLora, targets, exclude, rankPattern, alphaPattern } = adapt
  const dora = adapt.method === 'dora'
  const settings = { rank, alpha, dropout, rsLora, dora, targets, exclude, rankPattern, alphaPattern }
  const adapter = createAdapter(base, settings, { seed: config.seed })
  const wear = (own: Adapter, dropoutSeed?: number) =>
    attachAdapter(base, own, dropoutSeed === undefined ? {} : { dropoutSeed })
  const trainedAdapter = (trained: Named) => adapterWith(adapter, (path) => trained[path]!)
  return {
    tree: adapter.weights,
    objective: objectiveOf(adapt, base, (tree, seed) =>
      wear({ ...adapter, weights: tree as Adapter['weights'] }, seed),
    ),
    model: (trained) => wear(trainedAdapter(trained)),
    measure: measureOf(adapt, base, (trained) => wear(trainedAdapter(trained))),
    export: async (paths, trained, tokenizer) => {
      const own = trainedAdapter(trained)
      await saveAdapter(paths.adapter, base, own, { base: config.model.folder!, tokenizer })
      if (adapt.merge) await saveModel(paths.model, mergeAdapter(base, own), { tokenizer })
      return paths.adapter
    },
  }
}

/** Some of the weights, or all, as tensors of their own: the base stays as the reference. */
function weightsPart(config: RunConfig, adapt: AdaptConfig, base: LanguageModel): TrainedPart {
  const flat = flattenTree(base.weights)
  const chosen = adapt.method === 'full' ? Object.keys(flat) : frozenPaths(adapt, base)
  const own = (weight: Tensor) =>
    scope(() => keep(noGrad(() => weight.detach().to(config.weights).contiguous().clone())))
  const tree = Object.fromEntries(chosen.map((path) => [path, own(flat[path]!)]))
  const modelWith = (trained: Named): LanguageModel => {
    const weights = mapTree(base.weights, (weight, path) => trained[path] ?? weight)
    return { ...base, weights }
  }
  return {
    tree,
    objective: objectiveOf(adapt, base, (trained) => modelWith(trained as Named)),
    model: modelWith,
    measure: measureOf(adapt, base, modelWith),
    export: exportModel(modelWith),
  }
}

/**
 * The weights that are trained while the rest is frozen.
 * @throws ConfigError when a name begins the path of no weight
 */
export function frozenPaths({ train }: AdaptConfig, { weights }: LanguageModel): string[] {
  const paths = Object.keys(flattenTree(weights))
  const begins = (path: string, start: string) => path === start || path.startsWith(`${start}.`)
  const missed = train.filter((start) => !paths.some((path) => begins(path, start)))
  if (missed.length === 0 && train.length > 0) return paths.filter((path) => train.some((start) => begins(path, start)))
  const known = [...new Set(paths.map((path) => path.split('.')[0]!))].join(', ')
  const got = missed.length > 0 ? `${missed.join(', ')} begins the path of no weight` : 'names nothing to train'
  throw new ConfigError('configuration', [{ path: 'adapt.train', message: `${got}; paths begin with ${known}` }])
}
