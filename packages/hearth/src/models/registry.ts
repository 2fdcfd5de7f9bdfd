// From names to models: which family a config.json belongs to, presets, and new models.
import { ConfigError, HearthError, noGrad, scope, type Device, type DType, type Tensor } from '@hearth/torch'
import { closest } from 'fastest-levenshtein'
import { bytesOfPage, KeyValueCache, PagedCache, type PageDType, type PagesShape } from '../nn/index.js'
import { disposeTree, leavesOf, mapTree } from '../tree/index.js'
import type { Family, ForwardOptions, LanguageModel } from './family.js'
import { gpt2 } from './gpt2/model.js'
import { gpt3 } from './gpt3/model.js'
import { gptNeo } from './gpt_neo/model.js'
import { gptNeox } from './gpt_neox/model.js'
import { gptJ } from './gptj/model.js'
import { llama } from './llama/model.js'
import { mistral } from './mistral/model.js'
import { mixtral } from './mixtral/model.js'
import { presetConfigs, type ConfigJson } from './presets.js'
import { qwen2 } from './qwen2/model.js'
import { qwen3 } from './qwen3/model.js'
import { stableLm } from './stablelm/model.js'
import { stableLmAlpha } from './stablelm_alpha/model.js'
import { initialise, type InitialiseOptions } from './weight-source.js'

/** Every family, by Hugging Face's `model_type`. */
export const families: Readonly<Record<string, Family>> = {
  gpt2,
  gpt3,
  gpt_neo: gptNeo,
  gptj: gptJ,
  gpt_neox: gptNeox,
  stablelm: stableLm,
  stablelm_alpha: stableLmAlpha,
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
}

/**
 * The family of a config.json, by its `model_type`, or else its `architectures`.
 * @param where names the configuration in the error
 * @throws ConfigError with the nearest when it names no family that is known
 */
export function familyOf(json: unknown, where = 'configuration'): Family {
  const { model_type: type, architectures } = (typeof json === 'object' && json !== null ? json : {}) as ConfigJson
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : undefined
  const got = type ?? architecture
  const spellings = new Map<unknown, Family>(
    Object.values(families).flatMap((family) =>
      [family.name, family.architecture, ...(family.otherNames ?? [])].map((name) => [name, family] as const),
    ),
  )
  const family = spellings.get(got)
  if (family) return family
  const nearest = typeof got === 'string' ? closest(got, Object.keys(families)) : undefined
  const message =
    got === undefined
      ? 'is missing'
      : `${JSON.stringify(got)} is not a family that Hearth knows${nearest ? `; the nearest is ${nearest}` : ''}`
  const known = Object.keys(families).join(', ')
  throw new ConfigError(where, [{ path: 'model_type', message: `${message}; known are ${known}` }])
}

/** A family and one of its configurations. */
export interface Preset<Config = unknown, Weights = unknown> {
  family: Family<Config, Weights>
  config: Config
}

/** Names that preset() knows. */
export const presetNames: readonly string[] = Object.keys(presetConfigs)

/**
 * A published shape by name.
 * @throws HearthError with the nearest name when there is none of this one
 * @example
 * const { family, config } = preset('pythia-70m')
 * family.shape(config).parameters // 70426624
 */
export function preset(name: string): Preset {
  const json = Object.hasOwn(presetConfigs, name) ? presetConfigs[name] : undefined
  if (json === undefined)
    throw new HearthError(`there is no preset ${JSON.stringify(name)}; did you mean ${closest(name, presetNames)}?`, {
      remedy: `presets are ${presetNames.join(', ')}`,
    })
  return configure(json, name)
}

/** @throws ConfigError listing everything that is wrong with a config.json */
export function configure(json: unknown, where?: string): Preset {
  const family = familyOf(json, where)
  return { family, config: family.parseConfig(json, where) }
}

/**
 * A new model with weights from scratch.
 * @param model a preset's name, the contents of a config.json, or what preset() and configure() give
 * @example
 * const model = createModel('spark', { seed: 1 })
 */
export function createModel(model: string | ConfigJson | Preset, options: InitialiseOptions): LanguageModel {
  const { family, config } = typeof model === 'string' ? preset(model) : isPreset(model) ? model : configure(model)
  return { family, config, weights: family.build(config, initialise(options)) }
}

const isPreset = (model: ConfigJson | Preset): model is Preset => typeof model.family === 'object' && 'config' in model

/**
 * A model with its weights on a device. It takes the weights over: where they move, the given ones are freed.
 * @throws TorchError when the device is not there or has no room
 */
export function placeModel(model: LanguageModel, device: Device): LanguageModel {
  if (leavesOf(model.weights).every((weight) => weight.device === device)) return model
  const weights = noGrad(() => scope(() => mapTree(model.weights, (weight: Tensor) => weight.to({ device }))))
  disposeTree(model.weights)
  return { ...model, weights }
}

/**
 * The logits of a model.
 * @param ids (B, T) int64
 * @returns (B, T, V), or (B, 1, V) with `lastOnly`
 */
export function logits(model: LanguageModel, ids: Tensor, options?: ForwardOptions): Tensor {
  return model.family.forward(model.weights, model.config, ids, options)
}

export interface CacheOptions {
  /** Texts at once, 1 when it is not given. */
  batch?: number
  /** Tokens that fit; the model's context when it is not given. */
  capacity?: number
  /** That of the weights when it is not given. */
  dtype?: DType
}

/** An empty cache that fits a model. The caller disposes it. */
export function keyValueCacheOf(model: LanguageModel, options: CacheOptions = {}): KeyValueCache {
  const { layers, keyValueHeads, headDim, contextLength } = model.family.shape(model.config)
  const { dtype, device } = leavesOf(model.weights)[0]!
  const { batch = 1, capacity = contextLength } = options
  return new KeyValueCache({
    layers,
    heads: keyValueHeads,
    headDim,
    batch,
    capacity,
    dtype: options.dtype ?? dtype,
    device,
  })
}

export interface PagedCacheOptions {
  pages: number
  /** That of the weights when it is not given; float32 where pages cannot have it. */
  dtype?: PageDType
}

/** Pages that fit a model, for many texts at once. The caller disposes them. */
export function pagedCacheOf(model: LanguageModel, { pages, dtype }: PagedCacheOptions): PagedCache {
  return new PagedCache({ ...pageOf(model, dtype), pages, device: leavesOf(model.weights)[0]!.device })
}

/** Bytes that a page of pagedCacheOf() takes. */
export const pageBytesOf = (model: LanguageModel, dtype?: PageDType): number => bytesOfPage(pageOf(model, dtype))

function pageOf(model: LanguageModel, dtype: PageDType | undefined): Omit<PagesShape, 'pages'> {
  const { layers, keyValueHeads, headDim } = model.family.shape(model.config)
  const own = leavesOf(model.weights)[0]!.dtype === 'bfloat16' ? 'bfloat16' : 'float32'
  return { layers, heads: keyValueHeads, headDim, dtype: dtype ?? own }
}
