// The model that a plan is about: its sizes, and every tensor's shape, so that counts are exact to the tensor.
// Nothing is allocated: a model of 405B parameters costs as much as a small one.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { empty, FormatError, HearthError } from '@hearth/torch'
import { openModelSource } from '../formats/index.js'
import { configure, preset, presetNames, type ModelShape, type Preset } from '../models/index.js'
import type { Shapes } from '../train/index.js'
import { diffusionTransformer, diffusionTransformerNames } from './diffusion-transformer.js'
import { shapeOf } from './ladder.js'

export interface PlannedModel {
  name: string
  /** What a sample is: a sequence of tokens, or a picture cut into patches. */
  modality: 'text' | 'image'
  shape: ModelShape
  /** Shape of every trained tensor, by its path. */
  weights: Shapes
  /** Matrices of the feed-forward part: 2, or 3 where it is gated. */
  feedForwardMatrices: 2 | 3
  /** What the count of FLOPs leaves out of the parameters: those that are looked up, or that act once a sample. */
  leftOut: string
}

/** The sizes of a family's configuration, tensor by tensor. */
export function plannedModel(name: string, { family, config }: Preset): PlannedModel {
  const weights: Record<string, readonly number[]> = {}
  const nothing = empty([0])
  family.build(config, { tensor: (path, shape) => ((weights[path] = shape), nothing) })
  nothing.dispose()
  const shape = family.shape(config)
  const inner = Object.entries(weights).filter(
    ([path, sizes]) => path.startsWith('blocks.0.') && sizes.length > 1 && sizes.includes(shape.feedForward),
  )
  return {
    name,
    modality: 'text',
    shape,
    weights,
    // With experts, every one has its own: the first stands for all.
    feedForwardMatrices: inner.length % 3 === 0 ? 3 : 2,
    leftOut: 'lookup tables and experts that a token does not visit',
  }
}

/** `32x4096`: layers and width in LLaMA's form. */
const SHAPE = /^(\d{1,5})x(\d{1,6})$/

/**
 * The model that a word means: a preset, the folder or config.json of one, a GGUF file, `LAYERSxWIDTH` in LLaMA's form, or
 * a diffusion transformer (`dit-xl-2`).
 * @throws HearthError when it means none; ConfigError when its shape is impossible
 * @example
 * findModel('llama-7b').shape.parameters // 6738415616
 */
export function findModel(word: string): PlannedModel {
  if (existsSync(word)) return inFiles(word)
  const [, layers, width] = SHAPE.exec(word) ?? []
  if (width !== undefined) return plannedModel(word, shapeOf(Number(layers), Number(width)))
  if (diffusionTransformerNames.includes(word)) return diffusionTransformer(word)
  if (presetNames.includes(word)) return plannedModel(word, preset(word))
  if (/[/\\.]/.test(word) && !/^[\w.-]+$/.test(word))
    throw new HearthError(`there is no model folder or file ${JSON.stringify(word)}`, {
      remedy: 'give a folder with a config.json, a preset, or LAYERSxWIDTH such as 32x4096',
    })
  // Names the nearest.
  return plannedModel(word, preset(word))
}

function inFiles(path: string): PlannedModel {
  if (path.endsWith('.gguf')) {
    const source = openModelSource(path)
    source.close()
    return plannedModel(path, source)
  }
  const file = statSync(path).isDirectory() ? join(path, 'config.json') : path
  if (!existsSync(file))
    throw new FormatError(`${path} has no config.json`, { remedy: 'give the Hugging Face folder of a model' })
  return plannedModel(path, configure(readJson(file), file))
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new FormatError(`${file} is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Tensors of a model. */
export const countTensors = ({ weights }: PlannedModel): number => Object.keys(weights).length
