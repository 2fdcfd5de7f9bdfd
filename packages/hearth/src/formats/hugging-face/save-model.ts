// A model as a Hugging Face folder that transformers, llama.cpp and the like read: config.json, generation_config.json,
// safetensors under Hugging Face's names, the tokenizer.
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import {
  dtypeBytes,
  HearthError,
  noGrad,
  replaceFile,
  scope,
  writeSafetensors,
  type DType,
  type Tensor,
} from '@hearth/torch'
import type { Tokenizer } from '../../data/index.js'
import { fileName, type LanguageModel } from '../../models/index.js'
import { flattenTree } from '../../tree/index.js'
import { INDEX_FILE, SINGLE_FILE, WEIGHT_FILE } from './weight-files.js'

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
export async function saveModel(folder: string, model: LanguageModel, options: SaveModelOptions = {}): Promise<void> {
  const target = resolve(folder)
  const staging = join(dirname(target), `.${basename(target)}.${process.pid}.${randomUUID().slice(0, 8)}.tmp`)
  try {
    mkdirSync(staging, { recursive: true })
    writeWeights(staging, storedWeights(model), options)
    writeConfigs(staging, model, options.dtype)
    await options.tokenizer?.save(staging)
    publish(staging, target)
  } catch (cause) {
    if (cause instanceof HearthError) throw cause
    throw new HearthError(`cannot save the model in ${folder}: ${(cause as Error).message}`, { cause })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

/** A weight under its name in files. */
interface Stored {
  name: string
  leaf: Tensor
  transpose: boolean
}

function storedWeights({ family, weights }: LanguageModel): Stored[] {
  return Object.entries(flattenTree(weights)).map(([path, leaf]) => ({ ...fileName(family.names, path), leaf }))
}

/** The weights in order, cut where a shard would grow beyond the limit. */
function shardsOf(weights: readonly Stored[], { dtype, maxShardBytes = 5e9 }: SaveModelOptions): Stored[][] {
  const shards: Stored[][] = [[]]
  let bytes = 0
  for (const weight of weights) {
    const size = sizeOf(weight, dtype)
    if (bytes > 0 && bytes + size > maxShardBytes) {
      shards.push([])
      bytes = 0
    }
    shards[shards.length - 1]!.push(weight)
    bytes += size
  }
  return shards
}

const sizeOf = ({ leaf }: Stored, dtype: DType | undefined): number =>
  dtype === undefined ? leaf.nbytes : leaf.numel * dtypeBytes(dtype)

function writeWeights(folder: string, weights: readonly Stored[], options: SaveModelOptions): void {
  const shards = shardsOf(weights, options)
  const number = (value: number) => String(value).padStart(5, '0')
  const fileOf = (shard: number) =>
    shards.length === 1 ? SINGLE_FILE : `model-${number(shard + 1)}-of-${number(shards.length)}.safetensors`
  for (const [index, shard] of shards.entries()) writeShard(join(folder, fileOf(index)), shard, options.dtype)
  if (shards.length === 1) return
  const total_size = weights.reduce((total, weight) => total + sizeOf(weight, options.dtype), 0)
  const weight_map = Object.fromEntries(
    shards.flatMap((shard, i) => shard.map(({ name }) => [name, fileOf(i)] as const)),
  )
  writeJson(join(folder, INDEX_FILE), { metadata: { total_size }, weight_map })
}

function writeShard(path: string, shard: readonly Stored[], dtype: DType | undefined): void {
  noGrad(() =>
    scope(() => {
      const tensors = shard.map(({ name, leaf, transpose }) => {
        const cast = dtype === undefined ? leaf : leaf.to(dtype)
        return [name, transpose ? cast.t() : cast] as const
      })
      // transformers refuses files that do not say where they come from.
      writeSafetensors(path, Object.fromEntries(tensors), { format: 'pt' })
    }),
  )
}

function writeConfigs(folder: string, { family, config, weights }: LanguageModel, dtype: DType | undefined): void {
  const saved = dtype ?? Object.values(flattenTree(weights))[0]!.dtype
  const json = family.toConfig(config)
  // transformers v4 reads torch_dtype, v5 dtype.
  writeJson(join(folder, 'config.json'), { ...json, torch_dtype: saved, dtype: saved })
  const { bos_token_id, eos_token_id } = json
  writeJson(join(folder, 'generation_config.json'), { _from_model_config: true, bos_token_id, eos_token_id })
}

function writeJson(path: string, value: object): void {
  replaceFile(path, (write) => write(new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)))
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
