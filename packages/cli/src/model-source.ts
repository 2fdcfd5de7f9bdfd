// What a person means by MODEL: a Hugging Face folder or a GGUF file; a run, whose finished model is taken, or else its newest
// checkpoint; one checkpoint of a run; or a name on the hub.
import { hasFastBfloat16, type DType } from '@hearth/torch'
import { adapterBase, attachAdapter, isAdapterFolder, loadAdapter } from 'hearth/adapt'
import { Tokenizer } from 'hearth/data'
import { loadModel, loadTokenizer } from 'hearth/formats'
import { quantiseModel } from 'hearth/generate'
import type { LanguageModel } from 'hearth/models'
import { leavesOf } from 'hearth/tree'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError } from './failure.js'
import { localModel } from './hub-model.js'
import { findRun } from './locate.js'
import { openRunCheckpoint, runOfCheckpoint } from './run-checkpoint.js'

export interface OpenedModel {
  /** How to call it in messages. */
  name: string
  model: LanguageModel
  tokenizer: Tokenizer | undefined
}

export interface OpenOptions {
  /** `int8` or `int4`. */
  quantize?: string | undefined
}

/** Where a run keeps its finished model. */
export const finishedModelOf = (run: string): string => join(run, 'model')

/**
 * The Hugging Face folder behind a word: itself, or the finished model of a run.
 * @throws CommandError when there is none
 */
export async function modelFolder(word: string): Promise<string> {
  const run = findRun(word)
  const folder = run === undefined ? await localModel(word) : finishedModelOf(run)
  if (existsSync(join(folder, 'config.json'))) return folder
  throw new CommandError(
    run === undefined ? `${word} is no model folder and no run` : `the run ${run} has no finished model`,
    'give a Hugging Face folder, a name on the hub (owner/name), or a run that is finished',
  )
}

/** Where a run keeps the adapter that it trained. */
const adapterOf = (run: string): string => join(run, 'adapter')

/**
 * A model with an adapter on.
 * @throws FormatError when the adapter is not for this model
 */
function wearing(opened: OpenedModel, adapter: string): OpenedModel {
  return { ...opened, model: attachAdapter(opened.model, loadAdapter(adapter, opened.model)) }
}

/** The same from a folder that a person named; a tokenizer in it has the template that it was trained with. */
async function withAdapter(opened: OpenedModel, word: string): Promise<OpenedModel> {
  const run = findRun(word)
  const folder = run === undefined ? word : adapterOf(run)
  const own = existsSync(join(folder, 'tokenizer.json')) ? await Tokenizer.load(folder) : opened.tokenizer
  return { ...wearing(opened, folder), tokenizer: own }
}

/** The adapter that a run trained, on the base that it names. */
async function openAdapted(run: string, note: (text: string) => void, asStored: boolean): Promise<OpenedModel> {
  const folder = adapterOf(run)
  const base = adapterBase(folder)
  if (base === undefined) throw new CommandError(`${folder} names no base model`, 'give the base, and --adapter')
  const opened = await openFloats(base, note, asStored)
  return { ...wearing(opened, folder), name: run, tokenizer: await Tokenizer.load(folder) }
}

/**
 * Opens a model; weights are mapped, not read.
 * @param note is told what was chosen when that is not plain from the word
 * @throws CommandError when the word means no model; what loadModel() throws when its folder is damaged
 */
export async function openModel(
  word: string,
  note: (text: string) => void,
  { quantize }: OpenOptions = {},
): Promise<OpenedModel> {
  return inBits(await openFloats(word, note, quantize !== undefined), quantize)
}

/** Layer by layer from what the file holds: the whole model in float32 would be several times as large. */
function inBits(opened: OpenedModel, quantize: string | undefined): OpenedModel {
  if (quantize === undefined) return opened
  const stored = leavesOf(opened.model.weights)[0]!.dtype
  const dtype = stored === 'bfloat16' && !hasFastBfloat16() ? 'float32' : stored
  return { ...opened, model: quantiseModel(opened.model, quantize === 'int4' ? 4 : 8, { dtype }) }
}

/** @param asStored in the dtype of the file, also where this processor is slow with it */
async function openFloats(word: string, note: (text: string) => void, asStored: boolean): Promise<OpenedModel> {
  const run = findRun(word)
  if (run !== undefined && isAdapterFolder(adapterOf(run))) return await openAdapted(run, note, asStored)
  if (run !== undefined && !existsSync(finishedModelOf(run)))
    return { name: run, ...(await openRunCheckpoint(run, note)) }
  const runOf = runOfCheckpoint(word)
  if (runOf !== undefined) return { name: word, ...(await openRunCheckpoint(runOf, note, word)) }
  const folder = run === undefined ? await localModel(word) : finishedModelOf(run)
  if (!existsSync(folder))
    throw new CommandError(
      `there is no model folder and no run ${JSON.stringify(word)}`,
      'give a Hugging Face folder (config.json and weights), a GGUF file, a name on the hub (owner/name), a run (hearth runs lists them), or one of its checkpoints',
    )
  if (!statSync(folder).isDirectory() && !folder.endsWith('.gguf'))
    throw new CommandError(
      `${folder} is a file; expected a GGUF file or the folder of a model, a run or one of its checkpoints`,
    )
  const dtype = asStored ? undefined : computeDtypeOf(folder)
  const model = loadModel(folder, dtype === undefined ? {} : { dtype })
  const tokenizer = await loadTokenizer(folder)
  return { name: run === undefined ? word : folder, model, tokenizer }
}

/** As openModel(), for commands that read or write text. */
export async function openTextModel(
  word: string,
  note: (text: string) => void,
  { adapter, quantize }: OpenOptions & { adapter?: string | undefined } = {},
): Promise<OpenedModel & { tokenizer: Tokenizer }> {
  const bare = await openFloats(word, note, quantize !== undefined)
  const { tokenizer, ...opened } = inBits(adapter === undefined ? bare : await withAdapter(bare, adapter), quantize)
  if (tokenizer !== undefined) return { ...opened, tokenizer }
  throw new CommandError(
    `${opened.name} has no tokenizer.json, so it knows no text`,
    'put the model’s tokenizer.json into the folder',
  )
}

/**
 * The tokenizer of a Hugging Face folder, a tokenizer.json, or a run.
 * @throws DataError, FormatError as Tokenizer.load()
 */
export async function openTokenizer(word: string): Promise<Tokenizer> {
  const run = findRun(word)
  if (run === undefined) return Tokenizer.load(await localModel(word))
  return Tokenizer.load(existsSync(finishedModelOf(run)) ? finishedModelOf(run) : join(run, 'tokenizer'))
}

/** float32 where the file is bf16 and this processor emulates that many times slower; else the file's own. */
function computeDtypeOf(folder: string): DType | undefined {
  const text = existsSync(join(folder, 'config.json')) ? readFileSync(join(folder, 'config.json'), 'utf8') : ''
  return text.includes('"bfloat16"') && !hasFastBfloat16() ? 'float32' : undefined
}
