// The safetensors files of a Hugging Face folder: one model.safetensors, or shards that an index names.
// Not here: what the tensors mean (models), the format of one file (@hearth/torch).
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HearthError, readSafetensors, type SafetensorsFile } from '@hearth/torch'
import { z } from 'zod'
import type { StoredTensor } from '../../models/index.js'

export const SINGLE_FILE = 'model.safetensors'
export const INDEX_FILE = 'model.safetensors.index.json'

/** Names that weights have had in such folders; saving removes those that it did not write. */
export const WEIGHT_FILE = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/

// A name with a folder in it could lead anywhere.
const Index = z.object({ weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+\.safetensors$/)) })

/** The open files of a model. */
export interface WeightFiles {
  tensors: Map<string, StoredTensor>
  /** Gives up the files; tensors that were read keep their pages. */
  close(): void
}

/** Names of the files with weights; what is wrong with the folder goes to `problems`. */
function weightFileNames(folder: string, problems: string[]): string[] {
  if (existsSync(join(folder, SINGLE_FILE))) return [SINGLE_FILE]
  if (existsSync(join(folder, INDEX_FILE))) return indexedFiles(folder, problems)
  const pickled =
    existsSync(join(folder, 'pytorch_model.bin')) || existsSync(join(folder, 'pytorch_model.bin.index.json'))
  const found = pickled
    ? '; there are only pickled weights (pytorch_model.bin), which can run code when they are read'
    : ''
  problems.push(`${SINGLE_FILE} (or ${INDEX_FILE}) is missing${found}`)
  return []
}

function indexedFiles(folder: string, problems: string[]): string[] {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(join(folder, INDEX_FILE), 'utf8'))
  } catch (cause) {
    problems.push(`${INDEX_FILE} cannot be read: ${(cause as Error).message}`)
    return []
  }
  const parsed = Index.safeParse(json)
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) problems.push(`${INDEX_FILE}: ${path.join('.')}: ${message}`)
    return []
  }
  return [...new Set(Object.values(parsed.data.weight_map))].sort()
}

/**
 * Opens all weight files of a folder; nothing but their headers is read.
 * @param problems is added to what is missing or malformed; the result is usable only while it stays empty
 */
export function openWeightFiles(folder: string, problems: string[]): WeightFiles {
  const files: SafetensorsFile[] = []
  const tensors = new Map<string, StoredTensor>()
  for (const name of weightFileNames(folder, problems)) {
    const file = openOne(folder, name, problems)
    if (file === undefined) continue
    files.push(file)
    for (const [key, { shape, dtype }] of file.entries)
      tensors.set(key, { shape, dtype, file: name, read: () => file.tensor(key) })
  }
  return { tensors, close: () => files.forEach((file) => file.close()) }
}

function openOne(folder: string, name: string, problems: string[]): SafetensorsFile | undefined {
  const path = join(folder, name)
  if (!existsSync(path)) {
    problems.push(`${name} is missing, which ${INDEX_FILE} names`)
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
