// A Hugging Face folder as a model: config.json and weights, by memory map. Nothing in the folder is executed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, FormatError } from '@hearth/torch'
import { Tokenizer } from '../../data/index.js'
import { configure, type Preset } from '../../models/index.js'
import type { ModelSource } from '../source.js'
import { readGenerationConfig } from './generation-config.js'
import { openWeightFiles } from './weight-files.js'

/**
 * Opens a folder; of its weights only the headers are read.
 * @throws FormatError listing everything that is wrong: missing files, malformed files
 * @throws ConfigError when it is config.json alone that is wrong
 */
export function openFolder(folder: string): ModelSource {
  const problems: string[] = []
  const configured = readConfig(folder, problems)
  const generation = readGenerationConfig(folder, problems)
  const files = openWeightFiles(folder, problems)
  if (!(configured instanceof ConfigError) && configured !== undefined && problems.length === 0) {
    const tokenizer = async () => (existsSync(join(folder, 'tokenizer.json')) ? Tokenizer.load(folder) : undefined)
    return { where: folder, ...configured, generation, ...files, tokenizer }
  }
  files.close()
  if (configured instanceof ConfigError && problems.length === 0) throw configured
  if (configured instanceof ConfigError)
    problems.unshift(...configured.issues.map(({ path, message }) => `config.json: ${path}: ${message}`))
  throw unusable(folder, problems)
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
