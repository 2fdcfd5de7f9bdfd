// A Hugging Face folder as a model: config.json and safetensors, by memory map. Nothing in the folder is executed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, FormatError, scope, type DType } from '@hearth/torch'
import { configure, loadWeights, type LanguageModel, type Preset } from '../../models/index.js'
import { openWeightFiles } from './weight-files.js'

export interface LoadModelOptions {
  /**
   * Of the weights. When it is not given they stay as the file has them and in its memory; float16 becomes float32, as
   * CPUs do not compute in it.
   */
  dtype?: DType
}

/**
 * Reads a model from a Hugging Face folder. Weights that keep their dtype are views of the mapped files: nothing is read
 * before it is used, and writing to them does not reach the files.
 * @throws FormatError listing everything that is wrong: missing files, malformed files, tensors that do not fit
 * @throws ConfigError when it is config.json alone that is wrong
 * @example
 * const model = loadModel('models/pythia-70m')
 * const ids = tensor([[12092, 13]], { dtype: 'int64' })
 * logits(model, ids).shape // [1, 2, 50304]
 */
export function loadModel(folder: string, { dtype }: LoadModelOptions = {}): LanguageModel {
  const problems: string[] = []
  if (!existsSync(folder))
    throw new FormatError(`${folder}: there is no such folder`, {
      remedy: 'give a folder with config.json and weights',
    })
  const configured = readConfig(folder, problems)
  const files = openWeightFiles(folder, problems)
  try {
    if (configured instanceof ConfigError && problems.length === 0) throw configured
    if (configured instanceof ConfigError)
      problems.unshift(...configured.issues.map(({ path, message }) => `config.json: ${path}: ${message}`))
    if (problems.length > 0 || configured === undefined || configured instanceof ConfigError)
      throw unusable(folder, problems)
    const { family, config } = configured
    return scope(() => ({
      family,
      config,
      weights: loadWeights(family, config, files.tensors, { dtype, where: folder }),
    }))
  } finally {
    files.close()
  }
}

/** The configuration, or what is wrong with it: a ConfigError, or undefined and a problem. */
function readConfig(folder: string, problems: string[]): Preset | ConfigError | undefined {
  const path = join(folder, 'config.json')
  let json: unknown
  try {
    json = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    problems.push(
      existsSync(path) ? `config.json cannot be read: ${(cause as Error).message}` : 'config.json is missing',
    )
    return undefined
  }
  try {
    return configure(json, path)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}

function unusable(folder: string, problems: readonly string[]): FormatError {
  const count = `${problems.length} problem${problems.length === 1 ? '' : 's'}`
  return new FormatError(`${folder} cannot be loaded: ${count}\n  ${problems.join('\n  ')}`)
}
