// The weight files of a Hugging Face folder: safetensors, or where there are none the pickles of older folders; one file,
// or shards that an index names. Not here: what the tensors mean (models), the formats of a file (@hearth/torch, pickle).
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HearthError, readSafetensors, type SafetensorsFile } from '@hearth/torch'
import { z } from 'zod'
import type { StoredTensor } from '../../models/index.js'
import { readPytorch, type PytorchFile } from '../pickle/index.js'

export const SINGLE_FILE = 'model.safetensors'
export const INDEX_FILE = 'model.safetensors.index.json'

/** Names that weights have had in such folders; saving removes those that it did not write. */
export const WEIGHT_FILE = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/

/** One way in which folders keep their weights. */
interface Layout {
  single: string
  index: string
  /** Of its shards. A name with a folder in it could lead anywhere. */
  shard: RegExp
  open: (path: string) => SafetensorsFile | PytorchFile
}

const safetensors = (single: string, index = `${single}.index.json`): Layout => ({
  single,
  index,
  shard: /^[^/\\]+\.safetensors$/,
  open: readSafetensors,
})
const pickled = (single: string): Layout => ({
  single,
  index: `${single}.index.json`,
  shard: /^[^/\\]+\.bin$/,
  open: readPytorch,
})

const TRANSFORMERS: readonly Layout[] = [safetensors(SINGLE_FILE), pickled('pytorch_model.bin')]

/** Of the parts of image models: with 32 bits a number, or the variant with 16. */
const DIFFUSERS: readonly Layout[] = [
  safetensors('diffusion_pytorch_model.safetensors'),
  safetensors('diffusion_pytorch_model.fp16.safetensors', 'diffusion_pytorch_model.safetensors.index.fp16.json'),
  pickled('diffusion_pytorch_model.bin'),
  pickled('diffusion_pytorch_model.fp16.bin'),
  ...TRANSFORMERS,
  safetensors('model.fp16.safetensors'),
  pickled('pytorch_model.fp16.bin'),
]

/** The open files of a model. */
export interface WeightFiles {
  tensors: Map<string, StoredTensor>
  /** Gives back the memory of pages that were read. */
  releasePages(): void
  /** Gives up the files; tensors that were read keep their pages. */
  close(): void
}

/** The layout that a folder has, by what is there: safetensors first. */
const layoutOf = (folder: string, layouts: readonly Layout[]): Layout | undefined =>
  layouts.find(({ single, index }) => [single, index].some((name) => existsSync(join(folder, name))))

/** Names of the files with weights, in the order in which they were cut; what is wrong with the folder goes to `problems`. */
function weightFileNames(folder: string, layout: Layout, problems: string[]): string[] {
  return existsSync(join(folder, layout.single)) ? [layout.single] : indexedFiles(folder, layout, problems)
}

function indexedFiles(folder: string, { index, shard }: Layout, problems: string[]): string[] {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(join(folder, index), 'utf8'))
  } catch (cause) {
    problems.push(`${index} cannot be read: ${(cause as Error).message}`)
    return []
  }
  const parsed = z.object({ weight_map: z.record(z.string(), z.string().regex(shard)) }).safeParse(json)
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) problems.push(`${index}: ${path.join('.')}: ${message}`)
    return []
  }
  return [...new Set(Object.values(parsed.data.weight_map))].sort()
}

/**
 * Opens all weight files of a folder; nothing but their headers is read.
 * @param problems is added to what is missing or malformed; the result is usable only while it stays empty
 */
export function openWeightFiles(folder: string, problems: string[]): WeightFiles {
  return openLayout(folder, TRANSFORMERS, problems)
}

/** As openWeightFiles(), of a part of an image model. */
export function openPartFiles(folder: string, problems: string[]): WeightFiles {
  return openLayout(folder, DIFFUSERS, problems)
}

function openLayout(folder: string, layouts: readonly Layout[], problems: string[]): WeightFiles {
  const files: (SafetensorsFile | PytorchFile)[] = []
  const tensors = new Map<string, StoredTensor>()
  const layout = layoutOf(folder, layouts)
  const [first, second] = layouts
  if (layout === undefined)
    problems.push(
      `${first!.single} (or ${first!.index}, or ${(layouts === TRANSFORMERS ? second! : layouts[2]!).single}) is missing`,
    )
  for (const name of layout === undefined ? [] : weightFileNames(folder, layout, problems)) {
    const file = openOne(folder, name, layout!, problems)
    if (file === undefined) continue
    files.push(file)
    for (const [key, { shape, dtype }] of file.entries)
      tensors.set(key, { shape, dtype, file: name, read: () => file.tensor(key) })
  }
  return {
    tensors,
    releasePages: () => files.forEach((file) => file.releasePages()),
    close: () => files.forEach((file) => file.close()),
  }
}

function openOne(
  folder: string,
  name: string,
  { index, open }: Layout,
  problems: string[],
): SafetensorsFile | PytorchFile | undefined {
  const path = join(folder, name)
  if (!existsSync(path)) {
    problems.push(`${name} is missing, which ${index} names`)
    return undefined
  }
  try {
    return open(path)
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
    problems.push(error.message)
    return undefined
  }
}
