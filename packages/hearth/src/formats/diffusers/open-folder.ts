// A folder of diffusers as an image model: model_index.json names the parts, each a folder with config.json and weights.
// Nothing in the folder is executed.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { FormatError } from '@hearth/torch'
import { clipTokenizer, Tokenizer } from '../../data/index.js'
import { openPartFiles, type WeightFiles } from '../hugging-face/weight-files.js'
import type { ImageSource, PartSource } from './source.js'

export const INDEX = 'model_index.json'

/** Pipelines whose networks are these, whatever they are used for. */
const PIPELINE =
  /^(Flax|Onnx|OnnxRuntime)?StableDiffusion(XL)?(Img2Img|Inpaint|InstructPix2Pix|ImageVariation|Safe)?Pipeline(Safe|Legacy)?$/
const NOT_BUILT = /InstructPix2Pix|ImageVariation/

type Json = Readonly<Record<string, unknown>>

function readJson(path: string, problems: string[]): Json {
  try {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Json
    problems.push(`${path} must hold an object`)
  } catch (cause) {
    problems.push(existsSync(path) ? `${path} cannot be read: ${(cause as Error).message}` : `${path} is missing`)
  }
  return {}
}

function refuse(folder: string, problems: readonly string[]): FormatError {
  const count = `${problems.length} problem${problems.length === 1 ? '' : 's'}`
  return new FormatError(`${folder} cannot be loaded: ${count}\n  ${problems.join('\n  ')}`, {
    remedy: 'give a folder of diffusers with all its parts, or a checkpoint in a single file (.safetensors, .ckpt)',
  })
}

/** What a folder without model_index.json is. */
function notPictures(folder: string): FormatError {
  const config = existsSync(join(folder, 'config.json')) ? readJson(join(folder, 'config.json'), []) : undefined
  const { _class_name, architectures, model_type } = config ?? {}
  const names = [_class_name, ...(Array.isArray(architectures) ? (architectures as unknown[]) : []), model_type]
  const kind = names.find((name) => typeof name === 'string') ?? 'of unknown kind'
  const what =
    config === undefined
      ? `it has no ${INDEX}`
      : kind.startsWith('CLIPText')
        ? `it is a text encoder alone (${kind}), without a U-Net and an autoencoder`
        : `it is one network (${kind}), not a model that makes pictures`
  return new FormatError(`${folder} cannot make pictures: ${what}`, {
    remedy: `give a folder with ${INDEX}, or a checkpoint in a single file`,
  })
}

function checkPipeline(index: Json, problems: string[]): void {
  const name = String(index._class_name)
  if (!PIPELINE.test(name) || NOT_BUILT.test(name))
    problems.push(
      `${INDEX}: _class_name ${JSON.stringify(name)} is not supported; supported is Stable Diffusion 1.x, 2.x, XL`,
    )
}

/** An entry of model_index.json that is neither missing nor [null, null]. */
const named = (index: Json, part: string): boolean =>
  Array.isArray(index[part]) && (index[part] as unknown[])[1] !== null

/**
 * Opens a folder; of its weights only the headers are read.
 * @throws FormatError listing everything that is wrong: missing parts, malformed files
 */
export function openDiffusersFolder(folder: string): ImageSource {
  if (!existsSync(join(folder, INDEX))) throw notPictures(folder)
  const problems: string[] = []
  const index = readJson(join(folder, INDEX), problems)
  checkPipeline(index, problems)
  const files: WeightFiles[] = []
  const part = (name: string): PartSource => openPart(folder, name, files, problems)
  const encoders = ['text_encoder', 'text_encoder_2'].filter((name, i) => i === 0 || named(index, name))
  const source = {
    where: folder,
    unet: part('unet'),
    vae: part('vae'),
    texts: encoders.map(part),
    scheduler: readJson(join(folder, 'scheduler', 'scheduler_config.json'), problems),
    zerosForEmpty: index.force_zeros_for_empty_prompt === true,
    tokenizers: () =>
      Promise.all(encoders.map((name) => readTokenizer(join(folder, name.replace('text_encoder', 'tokenizer'))))),
    releasePages: () => files.forEach((each) => each.releasePages()),
    close: () => files.forEach((each) => each.close()),
  }
  if (problems.length === 0) return source
  source.close()
  throw refuse(folder, problems)
}

function openPart(folder: string, name: string, files: WeightFiles[], problems: string[]): PartSource {
  const where = join(folder, name)
  if (!existsSync(where) || !statSync(where).isDirectory()) {
    problems.push(`the part ${name} is missing: there is no folder of that name`)
    return { json: {}, tensors: new Map(), where }
  }
  const json = readJson(join(where, 'config.json'), problems)
  const own: string[] = []
  const opened = openPartFiles(where, own)
  problems.push(...own.map((problem) => (problem.startsWith(where) ? problem : `${name}: ${problem}`)))
  files.push(opened)
  return { json, tensors: opened.tensors, where }
}

/** A folder with tokenizer.json, or with vocab.json and merges.txt; undefined where there is neither. */
export async function readTokenizer(folder: string): Promise<Tokenizer | undefined> {
  if (existsSync(join(folder, 'tokenizer.json'))) return Tokenizer.load(folder)
  const [vocabulary, merges] = ['vocab.json', 'merges.txt'].map((name) => join(folder, name))
  if (!existsSync(vocabulary!) || !existsSync(merges!)) return undefined
  const problems: string[] = []
  const ids = readJson(vocabulary!, problems)
  const settings = ['special_tokens_map.json', 'tokenizer_config.json'].map((name) => join(folder, name))
  const configs = settings.filter((path) => existsSync(path)).map((path) => readJson(path, problems))
  if (problems.length > 0) throw refuse(folder, problems)
  const config = Object.assign({}, ...configs) as Json
  return clipTokenizer({ vocabulary: ids, merges: readFileSync(merges!, 'utf8'), config, where: folder })
}
