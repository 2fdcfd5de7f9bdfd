// A model as a Hugging Face folder that transformers, llama.cpp and the like read: config.json, generation_config.json,
// safetensors under Hugging Face's names, the tokenizer.
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { HearthError, type DType } from '@hearth/torch'
import type { Tokenizer } from '../../data/index.js'
import { fileName, type LanguageModel, type Preset } from '../../models/index.js'
import { flattenTree } from '../../tree/index.js'
import { GENERATION_FILE, generationConfig } from './generation-config.js'
import { WEIGHT_FILE } from './weight-files.js'
import { writeJson, writeWeights, type PlannedWeight } from './write-shards.js'

export interface SaveModelOptions {
  /** Saved beside the weights. */
  tokenizer?: Pick<Tokenizer, 'save'>
  /** Of the saved weights; their own when it is not given. */
  dtype?: DType
  /** Weights beyond this many bytes go into several files; 5 GB when it is not given. */
  maxShardBytes?: number
}

/**
 * Writes a model as a Hugging Face folder. All of it is written beside the folder first: a full disk leaves what was
 * there untouched. An existing folder keeps its other files; its weights are replaced.
 * @throws HearthError when the disk refuses
 * @example
 * await saveModel('runs/first/model', model, { tokenizer, dtype: 'bfloat16' })
 */
export async function saveModel(
  folder: string,
  model: LanguageModel,
  { dtype, ...options }: SaveModelOptions = {},
): Promise<void> {
  await saveFolder(folder, model, plannedWeights(model, dtype), options)
}

/** As saveModel(), of weights that are read as they are written. */
export async function saveFolder(
  folder: string,
  model: Preset & Pick<LanguageModel, 'generation'>,
  weights: readonly PlannedWeight[],
  { tokenizer, maxShardBytes }: Omit<SaveModelOptions, 'dtype'>,
): Promise<void> {
  const target = resolve(folder)
  const staging = join(dirname(target), `.${basename(target)}.${process.pid}.${randomUUID().slice(0, 8)}.tmp`)
  try {
    mkdirSync(staging, { recursive: true })
    writeWeights(staging, weights, maxShardBytes)
    writeConfigs(staging, model, weights[0]!.dtype)
    await tokenizer?.save(staging)
    publish(staging, target)
  } catch (cause) {
    if (cause instanceof HearthError) throw cause
    throw new HearthError(`cannot save the model in ${folder}: ${(cause as Error).message}`, { cause })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function plannedWeights({ family, weights }: LanguageModel, dtype: DType | undefined): PlannedWeight[] {
  return Object.entries(flattenTree(weights)).map(([path, leaf]) => {
    const { name, transpose } = fileName(family.names, path)
    const shape = transpose ? [...leaf.shape].reverse() : leaf.shape
    return { name, shape, dtype: dtype ?? leaf.dtype, read: () => (transpose ? leaf.t() : leaf) }
  })
}

/** config.json and generation_config.json of a model whose weights are saved in a dtype. */
export function writeConfigs(
  folder: string,
  { family, config, generation = {} }: Preset & Pick<LanguageModel, 'generation'>,
  dtype: DType,
): void {
  const json = family.toConfig(config)
  // transformers v4 reads torch_dtype, v5 dtype.
  writeJson(join(folder, 'config.json'), { ...json, torch_dtype: dtype, dtype })
  writeJson(join(folder, GENERATION_FILE), generationConfig(generation, json))
}

/** Puts the written files in place: the whole folder where there was none, else file by file. */
function publish(staging: string, target: string): void {
  if (!existsSync(target)) {
    renameSync(staging, target)
    return
  }
  const written = readdirSync(staging)
  const stale = readdirSync(target).filter((name) => WEIGHT_FILE.test(name) && !written.includes(name))
  for (const name of written) renameSync(join(staging, name), join(target, name))
  for (const name of stale) rmSync(join(target, name))
}
