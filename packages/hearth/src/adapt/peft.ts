// PEFT's adapter folders, in and out: adapter_config.json and adapter_model.safetensors, under the names that PEFT,
// transformers, vLLM and llama.cpp's converter read. Nothing in a folder is executed.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  FormatError,
  HearthError,
  noGrad,
  readSafetensors,
  replaceFile,
  scope,
  writeSafetensors,
  type SafetensorsFile,
  type Tensor,
} from '@hearth/torch'
import type { Tokenizer } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { sizesOf, type Adapter, type AdapterModule } from './lora.js'
import { readPeftConfig, toPeftConfig, type PeftDescription } from './peft-config.js'
import { linearModules, type LinearModule } from './targets.js'

export const ADAPTER_CONFIG = 'adapter_config.json'
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors'

const PARTS = { a: 'lora_A.weight', b: 'lora_B.weight', magnitude: 'lora_magnitude_vector' } as const

/** PEFT's name of a tensor; old files name the adapter in it, and give the vector of DoRA a `.weight`. */
const NAME =
  /^base_model\.model\.(.+)\.(?:(lora_A|lora_B)(?:\.[^.]+)?\.weight|(lora_magnitude_vector)(?:\.[^.]+)?(?:\.weight)?)$/

/** Whether a folder holds an adapter. */
export const isAdapterFolder = (folder: string): boolean => existsSync(join(folder, ADAPTER_CONFIG))

export interface SaveAdapterOptions {
  /** The folder or name of the base, which readers look for. */
  base?: string
  tokenizer?: Pick<Tokenizer, 'save'>
}

/**
 * Writes an adapter as PEFT does.
 * @param model the base
 * @throws HearthError when the disk refuses
 * @example
 * await saveAdapter('adapters/mine', model, adapter, { base: 'models/pythia-160m' })
 */
export async function saveAdapter(
  folder: string,
  model: LanguageModel,
  adapter: Adapter,
  { base, tokenizer }: SaveAdapterOptions = {},
): Promise<void> {
  const all = linearModules(model)
  const modules = all.filter(({ path }) => path in adapter.weights)
  const { settings } = adapter
  const config = toPeftConfig({ settings, family: model.family.name, modules, all, ...(base && { base }) })
  try {
    mkdirSync(folder, { recursive: true })
    const tensors: [string, Tensor][] = modules.flatMap(({ path, module }) =>
      Object.entries(adapter.weights[path]!).map(([part, tensor]: [string, Tensor]): [string, Tensor] => [
        `base_model.model.${module}.${PARTS[part as keyof typeof PARTS]}`,
        tensor,
      ]),
    )
    noGrad(() => writeSafetensors(join(folder, ADAPTER_WEIGHTS), Object.fromEntries(tensors), { format: 'pt' }))
    const text = `${JSON.stringify(config, undefined, 2)}\n`
    replaceFile(join(folder, ADAPTER_CONFIG), (write) => write(Buffer.from(text)))
    await tokenizer?.save(folder)
  } catch (cause) {
    if (cause instanceof HearthError) throw cause
    throw new HearthError(`cannot save the adapter in ${folder}: ${(cause as Error).message}`, { cause })
  }
}

/** The base that an adapter's configuration names, where it names one. */
export function adapterBase(folder: string): string | undefined {
  const problems: string[] = []
  return readConfig(folder, problems)?.base
}

/**
 * Reads an adapter for a base. Layers, ranks and sizes are those of the tensors; the configuration says how they count.
 * @throws FormatError listing everything that is wrong: missing or malformed files, layers that the base lacks, matrices
 * that do not fit, kinds of adapters that are not read
 */
export function loadAdapter(folder: string, model: LanguageModel): Adapter {
  const problems: string[] = []
  const described = readConfig(folder, problems)
  const file = openTensors(folder, problems)
  try {
    const modules = linearModules(model)
    const weights = file === undefined ? {} : collect(file, modules, problems)
    const settings = described?.settings ?? {}
    if (file && problems.length === 0) problems.push(...misfits(weights, modules, settings.dora === true))
    if (problems.length > 0 || !described) throw unusable(folder, problems)
    const worn = modules.filter(({ path }) => path in weights)
    const scales = worn.map((module) => {
      const rank = weights[module.path]!.a!.shape[0]!
      const { alpha } = sizesOf(settings, module)
      return [module.path, alpha / (settings.rsLora ? Math.sqrt(rank) : rank)] as const
    })
    return { settings, scales: Object.fromEntries(scales), weights: weights as Record<string, AdapterModule> }
  } finally {
    file?.close()
  }
}

type Collected = Record<string, Partial<AdapterModule>>

function collect(file: SafetensorsFile, modules: readonly LinearModule[], problems: string[]): Collected {
  const paths = new Map(modules.map(({ module, path }) => [module, path]))
  const weights: Collected = {}
  for (const name of file.entries.keys()) {
    const [, module, pair, vector] = NAME.exec(name) ?? []
    const path = module === undefined ? undefined : paths.get(module)
    if (path === undefined) {
      const what =
        module === undefined ? 'is no tensor of a LoRA adapter' : 'is for a layer that this model does not have'
      problems.push(`${ADAPTER_WEIGHTS}: ${name} ${what}`)
      continue
    }
    const part = vector ? 'magnitude' : pair === 'lora_A' ? 'a' : 'b'
    weights[path] = { ...weights[path], [part]: scope(() => file.tensor(name)) }
  }
  return weights
}

function misfits(weights: Collected, modules: readonly LinearModule[], dora: boolean): string[] {
  return modules
    .filter(({ path }) => path in weights)
    .flatMap(({ path, module, inputs, outputs }) => {
      const { a, b, magnitude } = weights[path]!
      const missing = [
        a ? [] : ['lora_A'],
        b ? [] : ['lora_B'],
        dora && !magnitude ? ['lora_magnitude_vector'] : [],
      ].flat()
      if (missing.length > 0) return [`${ADAPTER_WEIGHTS}: ${module} lacks ${missing.join(' and ')}`]
      const fits = a!.shape[1] === inputs && b!.shape[0] === outputs && a!.shape[0] === b!.shape[1]
      const long = magnitude === undefined || magnitude.shape.join() === String(outputs)
      if (fits && long) return []
      const show = (x: Tensor) => `[${x.shape.join(', ')}]`
      return [
        `${ADAPTER_WEIGHTS}: ${module}: got A ${show(a!)} and B ${show(b!)}, expected [r, ${inputs}] and [${outputs}, r]`,
      ]
    })
}

function readConfig(folder: string, problems: string[]): PeftDescription | undefined {
  const path = join(folder, ADAPTER_CONFIG)
  if (!existsSync(path)) {
    problems.push(`${ADAPTER_CONFIG} is missing`)
    return undefined
  }
  try {
    return readPeftConfig(JSON.parse(readFileSync(path, 'utf8')), problems)
  } catch (cause) {
    problems.push(`${ADAPTER_CONFIG} cannot be read: ${(cause as Error).message}`)
    return undefined
  }
}

function openTensors(folder: string, problems: string[]): SafetensorsFile | undefined {
  const path = join(folder, ADAPTER_WEIGHTS)
  if (!existsSync(path)) {
    problems.push(`${ADAPTER_WEIGHTS} is missing`)
    return undefined
  }
  try {
    return readSafetensors(path)
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
    problems.push(error.message)
    return undefined
  }
}

function unusable(folder: string, problems: readonly string[]): FormatError {
  const count = `${problems.length} problem${problems.length === 1 ? '' : 's'}`
  return new FormatError(`${folder} is no adapter for this model: ${count}\n  ${problems.join('\n  ')}`)
}
