// A model as its process runs it: opened from its files, with an engine that writes many texts at once. Not here: the pipe
// (host-process.ts).
import { DataError, hasFastBfloat16, setNumThreads, type DType } from '@hearth/torch'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { attachAdapter, loadAdapter } from '../../adapt/index.js'
import { loadModel } from '../../formats/index.js'
import { endTokensOf, Engine, quantiseModel, type Generation } from '../../generate/index.js'
import type { LanguageModel } from '../../models/index.js'
import { leavesOf } from '../../tree/index.js'
import type { GenerationRequest, ModelFacts, ModelSpec } from './messages.js'

/** Texts that are written together; the others wait. */
const BATCH = 64

export class RunningModel {
  readonly facts: ModelFacts
  readonly #model: LanguageModel
  readonly #engine: Engine

  /** @throws what loadModel() and loadAdapter() throw */
  constructor({ path, worn, adapters, quantize, threads }: ModelSpec) {
    if (threads !== undefined) setNumThreads(threads)
    this.#model = openedModel(path, worn, quantize)
    const { family, config, generation = {} } = this.#model
    const { contextLength, vocabularySize } = family.shape(config)
    this.facts = { contextLength, vocabularySize, endTokens: endTokensOf(this.#model), generation }
    this.#engine = new Engine(this.#model, { maxBatch: BATCH })
    for (const [name, folder] of Object.entries(adapters)) this.addAdapter(name, folder)
  }

  generate(
    { form, adapter, logprobs, promptLogprobs, ...request }: GenerationRequest,
    signal: AbortSignal,
  ): Generation {
    if (form !== undefined)
      throw new DataError('answers cannot be held to JSON yet: leave out response_format, or use tool_choice "auto"')
    return this.#engine.generate({
      ...request,
      ...(logprobs !== undefined && { logprobs }),
      ...(promptLogprobs !== undefined && { promptLogprobs }),
      ...(adapter !== undefined && { adapter }),
      signal,
    })
  }

  embed(tokens: readonly number[]): Promise<Float32Array> {
    return this.#engine.embed(tokens)
  }

  addAdapter(name: string, folder: string): void {
    this.#engine.setAdapter(name, loadAdapter(folder, this.#model))
  }

  removeAdapter(name: string): void {
    this.#engine.setAdapter(name, undefined)
  }

  /** Numbers alone, under one level of names. */
  stats(): Record<string, number> {
    const { cache, ...stats } = this.#engine.stats()
    const flat = Object.entries({
      ...stats,
      cacheUsed: cache.used,
      cacheKept: cache.kept,
      cacheCapacity: cache.capacity,
    })
    return Object.fromEntries(
      flat.map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
    )
  }
}

function openedModel(path: string, worn: string | undefined, quantize: ModelSpec['quantize']): LanguageModel {
  const dtype = quantize === undefined ? computeDtypeOf(path) : undefined
  const bare = loadModel(path, dtype === undefined ? {} : { dtype })
  const model = worn === undefined ? bare : attachAdapter(bare, loadAdapter(worn, bare))
  if (quantize === undefined) return model
  const stored = leavesOf(model.weights)[0]!.dtype
  const floats = stored === 'bfloat16' && !hasFastBfloat16() ? 'float32' : stored
  return quantiseModel(model, quantize === 'int4' ? 4 : 8, { dtype: floats })
}

/** float32 where the file is bf16 and this processor emulates that many times slower; else the file's own. */
function computeDtypeOf(folder: string): DType | undefined {
  const config = join(folder, 'config.json')
  const text = existsSync(config) ? readFileSync(config, 'utf8') : ''
  return text.includes('"bfloat16"') && !hasFastBfloat16() ? 'float32' : undefined
}
