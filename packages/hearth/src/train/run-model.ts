// The model of a run: the one that it starts from, and the one that a checkpoint holds. Not here: training it
// (session.ts), and the finished one, which is a Hugging Face folder (hearth/formats).
import { resolve } from 'node:path'
import { ConfigError, keep, noGrad, scope, type DType, type Tensor } from '@hearth/torch'
import { loadCheckpoint, loadLatest, realStorage, type FindOptions } from '../checkpoint/index.js'
import { Tokenizer } from '../data/index.js'
import { loadModel } from '../formats/index.js'
import { configure, createModel, preset, type LanguageModel, type Preset } from '../models/index.js'
import { flattenTree, mapTree } from '../tree/index.js'
import { resolveConfig, type RunConfig } from './config.js'
import { readRun, runPaths } from './run-folder.js'
import { trainedPart } from './trained-part.js'

/** The config.json of a new model, without what only the tokenizer knows. */
function newConfig({ model }: RunConfig): Record<string, unknown> {
  const { family, config } = preset(model.preset!)
  return { ...family.toConfig(config), ...model.config }
}

/**
 * Looks at the shape before any work starts.
 * @throws ConfigError when it is impossible, or reads less than a sequence at once
 */
export function checkModel(config: RunConfig): void {
  const { folder } = config.model
  const { family, config: shape } =
    folder === undefined ? configure(newConfig(config), 'model.config') : loadModel(folder)
  const { contextLength } = family.shape(shape)
  const { sequenceLength } = config
  if (sequenceLength > contextLength)
    throw new ConfigError('configuration', [
      { path: 'sequenceLength', message: `${sequenceLength} tokens, but the model reads at most ${contextLength}` },
    ])
}

/**
 * The model that a run starts from, with weights of its own in the dtype that they are kept in; where it is adapted, with mapped ones that stay.
 * @param dtype of weights that stay
 * @throws ConfigError when the shape is impossible, or too small for the tokenizer's vocabulary
 */
export function initialModel(config: RunConfig, tokenizer: Tokenizer, dtype: DType): LanguageModel {
  const { folder } = config.model
  const model =
    folder === undefined
      ? createModel(shapeOf(config, tokenizer), { seed: config.seed, dtype: config.weights })
      : config.adapt === undefined
        ? loadedModel(folder, config.weights)
        : loadModel(folder, { dtype, base: config.adapt.base })
  checkVocabulary(model, tokenizer)
  return model
}

/** @throws ConfigError when the model is too small for the tokenizer's vocabulary */
export function checkVocabulary({ family, config }: Preset, tokenizer: Tokenizer): void {
  const { vocabularySize } = family.shape(config)
  if (vocabularySize >= tokenizer.vocabSize) return
  const message = `has a vocabulary of ${vocabularySize}, the tokenizer has ${tokenizer.vocabSize} tokens`
  throw new ConfigError('model', [{ path: 'model', message }])
}

/** Family and shape of a run's model. */
export function shapeOf(config: RunConfig, tokenizer: Tokenizer): Preset {
  // Weights are mapped, not read: a folder is looked at in milliseconds.
  if (config.model.folder !== undefined) return loadModel(config.model.folder)
  const { bos_token_id = tokenizer.beginOfText ?? tokenizer.endOfText, eos_token_id = tokenizer.endOfText } =
    config.model.config
  // A tokenizer of its own decides the vocabulary; published ones come padded, as the published shapes expect.
  const ownVocabulary = config.tokenizer.path === undefined ? { vocab_size: tokenizer.vocabSize } : {}
  return configure({ ...newConfig(config), ...ownVocabulary, bos_token_id, eos_token_id }, 'model.config')
}

/** Copies: training must not write to the pages of somebody's files. */
function loadedModel(folder: string, dtype: DType): LanguageModel {
  const model = loadModel(folder, { dtype })
  const weights = mapTree(model.weights, (weight: Tensor) =>
    scope(() => keep(noGrad(() => weight.contiguous().clone()))),
  )
  return { ...model, weights }
}

/** A model as a run had it after a step. */
export interface CheckpointModel {
  /** As the run keeps them; the weights are mapped from the checkpoint's files, and writing to them does not reach these. */
  model: LanguageModel
  tokenizer: Tokenizer
  /** Steps that were done. */
  step: number
}

export interface CheckpointModelOptions extends FindOptions {
  /** The folder of the checkpoint; the newest that is whole when it is not given. */
  checkpoint?: string
}

/**
 * The model of a run's checkpoint, also while the run goes on.
 * @param dir the run's folder
 * @returns undefined when the run has no checkpoint yet
 * @throws HearthError when there is no run; CheckpointError when the checkpoint is damaged, or all are
 * @example
 * const opened = await loadCheckpointModel('runs/spark', { onRefused: ({ path }) => console.warn(`${path} is damaged`) })
 */
export async function loadCheckpointModel(
  dir: string,
  options: CheckpointModelOptions,
): Promise<CheckpointModel | undefined> {
  const paths = runPaths(resolve(dir))
  const config = resolveConfig(readRun(dir).config, paths.config)
  using checkpoint = options.checkpoint
    ? await loadCheckpoint(realStorage, options.checkpoint)
    : await loadLatest(realStorage, paths.checkpoints, options)
  if (checkpoint === undefined) return undefined
  const { step } = checkpoint
  const tokenizer = await Tokenizer.load(paths.tokenizer)
  const { family, config: shape } = shapeOf(config, tokenizer)
  if (config.adapt !== undefined) {
    const part = trainedPart(config, initialModel(config, tokenizer, config.dtype as DType))
    const paths = Object.keys(flattenTree(part.tree))
    const trained = Object.fromEntries(paths.map((path) => [path, checkpoint.tensor(`weights.${path}`)]))
    return { model: part.model(trained), tokenizer, step }
  }
  const weights = family.build(shape, { tensor: (path) => checkpoint.tensor(`weights.${path}`) })
  return { model: { family, config: shape, weights }, tokenizer, step }
}
