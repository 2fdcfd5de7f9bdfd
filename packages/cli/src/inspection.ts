// What stands behind a path: a safetensors file, a checkpoint, a run or a Hugging Face folder, as facts and tensors.
import { dtypeBytes, readSafetensors, type SafetensorsEntry } from '@hearth/torch'
import { listCheckpoints, loadCheckpoint, realStorage } from 'hearth/checkpoint'
import { openModelSource, readGguf, readPytorch } from 'hearth/formats'
import { readLastMetrics, readRun, resolveConfig, runPaths } from 'hearth/train'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError } from './failure.js'
import { findRun } from './locate.js'
import { finishedModelOf } from './model-source.js'

export interface TensorFacts {
  name: string
  shape: readonly number[]
  dtype: string
  bytes: number
}

export interface Inspection {
  kind: 'safetensors file' | 'GGUF file' | 'PyTorch file' | 'checkpoint' | 'run' | 'model'
  path: string
  facts: Record<string, unknown>
  tensors: TensorFacts[]
}

/**
 * @throws CommandError when there is nothing that Hearth knows; CheckpointError, FormatError, ConfigError when it is damaged
 */
export async function inspectTarget(word: string): Promise<Inspection> {
  if (existsSync(word) && statSync(word).isFile()) return inspectFile(word)
  const run = findRun(word)
  if (run !== undefined) return inspectRun(run)
  if (!existsSync(word)) throw new CommandError(`there is no file, folder or run ${JSON.stringify(word)}`)
  if (existsSync(join(word, 'manifest.json')) && !existsSync(join(word, 'config.json'))) return inspectCheckpoint(word)
  if (
    !statSync(word).isDirectory() ||
    !['config.json', 'model.safetensors', 'pytorch_model.bin'].some((name) => existsSync(join(word, name)))
  )
    throw new CommandError(
      `${word} is no model, run or checkpoint`,
      'give a Hugging Face folder, a .safetensors, .gguf or .bin file, a run (hearth runs lists them) or one of its checkpoints',
    )
  return inspectModel(word)
}

const factsOf = (entries: ReadonlyMap<string, SafetensorsEntry>): TensorFacts[] =>
  [...entries].map(([name, { shape, dtype, nbytes }]) => ({ name, shape, dtype, bytes: nbytes }))

function inspectFile(path: string): Inspection {
  if (path.endsWith('.gguf')) return inspectGguf(path)
  if (/\.(bin|pt|pth|ckpt)$/.test(path)) return inspectPytorch(path)
  using file = readSafetensors(path)
  return {
    kind: 'safetensors file',
    path,
    facts: { bytes: statSync(path).size, ...file.metadata },
    tensors: factsOf(file.entries),
  }
}

function inspectGguf(path: string): Inspection {
  using file = readGguf(path)
  const metadata: Record<string, unknown> = {}
  for (const [key, value] of file.metadata)
    metadata[key] = typeof value === 'object' ? `${value.length} ${value.of}s` : value
  return {
    kind: 'GGUF file',
    path,
    facts: { bytes: statSync(path).size, version: file.version, ...metadata },
    tensors: [...file.entries].map(([name, { shape, type, nbytes }]) => ({ name, shape, dtype: type, bytes: nbytes })),
  }
}

function inspectPytorch(path: string): Inspection {
  using file = readPytorch(path)
  const bytes = (shape: readonly number[], width: number) => shape.reduce((product, size) => product * size, width)
  const tensors = [...file.entries].map(([name, { shape, dtype }]) => ({
    name,
    shape,
    dtype,
    bytes: bytes(shape, dtypeBytes(dtype)),
  }))
  return { kind: 'PyTorch file', path, facts: { bytes: statSync(path).size }, tensors }
}

async function inspectCheckpoint(path: string): Promise<Inspection> {
  using checkpoint = await loadCheckpoint(realStorage, path)
  const { step, savedAt, parent, meta, shards } = checkpoint.manifest
  const facts = {
    step,
    savedAt,
    hash: checkpoint.hash,
    parent,
    meta,
    files: shards.map(({ file }) => file),
    verified: true,
  }
  return { kind: 'checkpoint', path, facts, tensors: factsOf(checkpoint.entries) }
}

async function inspectRun(path: string): Promise<Inspection> {
  const { config: written, createdAt, versions } = readRun(path)
  const paths = runPaths(path)
  const config = resolveConfig(written, paths.config)
  const checkpoints = await listCheckpoints(realStorage, paths.checkpoints)
  const model = finishedModelOf(path)
  const finished = existsSync(join(model, 'config.json')) ? inspectModel(model) : undefined
  const facts = {
    name: config.name,
    createdAt,
    versions,
    of: config.steps,
    last: readLastMetrics(paths.metrics).at(-1),
    checkpoints: checkpoints.map((checkpoint) => checkpoint.path),
    ...(finished ? { model, ...finished.facts } : { preset: config.model.preset ?? config.model.folder }),
  }
  return { kind: 'run', path, facts, tensors: finished?.tensors ?? [] }
}

function inspectModel(path: string): Inspection {
  const source = openModelSource(path)
  const { family, config } = source
  source.close()
  const tensors = weightFilesOf(path).flatMap((file) => inspectFile(join(path, file)).tensors)
  return {
    kind: 'model',
    path,
    facts: { family: family.name, ...family.shape(config), tokenizer: existsSync(join(path, 'tokenizer.json')) },
    tensors,
  }
}

/** loadModel() has checked that they are what the folder needs. */
const weightFilesOf = (folder: string): string[] =>
  existsSync(join(folder, 'model.safetensors'))
    ? ['model.safetensors']
    : readdirSync(folder)
        .filter((name) => /^(model-\d+-of-\d+\.safetensors|pytorch_model(-\d+-of-\d+)?\.bin)$/.test(name))
        .sort()
