/**
 * A model from one format into another: written tensor by tensor, read again, and run beside the original. What differs
 * more than its numbers' widths explain is removed. Not here: the formats themselves.
 */
import { existsSync, rmSync, statfsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ConfigError, HearthError, type DType, type Tensor } from '@hearth/torch'
import type { StoredTensor } from '../../models/index.js'
import { bytesOf, planGguf, saveGguf, writableTypes, type WritableType } from '../gguf/index.js'
import { saveFolder } from '../hugging-face/save-model.js'
import { sizeOf, type PlannedWeight } from '../hugging-face/write-shards.js'
import { openModelSource } from '../load-model.js'
import { weightsOf, type ModelSource } from '../source.js'
import { compareSources, type Comparison } from './compare.js'

export const conversionFormats = ['hf', 'gguf'] as const
export type ConversionFormat = (typeof conversionFormats)[number]

/** Numbers as people name them, and what each is in a folder and in GGUF. */
const DTYPES: Readonly<Record<string, WritableType | undefined>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }
export const conversionDtypes = [
  ...Object.keys(DTYPES),
  ...writableTypes.filter((type) => type.startsWith('Q')).map((type) => type.toLowerCase()),
] as readonly string[]

export interface ConvertOptions {
  to: ConversionFormat
  /** One of conversionDtypes; each tensor keeps its own when it is not given. */
  dtype?: string
  /** Largest difference of logits, as a share of the largest logit, that is accepted. */
  tolerance?: number
  /** Told what is being done. */
  onStage?: (stage: 'writing' | 'comparing') => void
}

export interface Conversion extends Comparison {
  tolerance: number
}

/**
 * What rounding the weights once does to the logits of models as they are trained, generously: a wrong arrangement of
 * rows is off by the size of the logits themselves.
 */
const TOLERANCES: Record<WritableType, number> = {
  F32: 1e-4,
  F16: 1e-2,
  BF16: 5e-2,
  Q8_0: 5e-2,
  Q6_K: 0.1,
  Q4_K: 0.4,
  Q4_0: 0.6,
}

/**
 * @param destination a folder, or a file for GGUF; must not exist
 * @throws ConfigError, FormatError, HearthError before anything is written, with all that is known to be wrong
 * @throws HearthError after the output was removed, when its logits are not the original's within the tolerance
 * @example
 * await convertModel('models/pythia-160m', 'pythia-160m.gguf', { to: 'gguf', dtype: 'q4_k' })
 */
export async function convertModel(from: string, destination: string, options: ConvertOptions): Promise<Conversion> {
  const type = typeNamed(options)
  if (existsSync(destination))
    throw new HearthError(`${destination} is there already`, { remedy: 'give a name that is not, or remove it' })
  if (!existsSync(dirname(resolve(destination))))
    throw new HearthError(`${dirname(resolve(destination))}: there is no such folder to write into`)
  const source = openModelSource(from)
  try {
    options.onStage?.('writing')
    await write(source, destination, options.to, type)
    options.onStage?.('comparing')
    return verify(source, destination, options.tolerance ?? TOLERANCES[widest(source, type)])
  } finally {
    source.close()
  }
}

/** @throws ConfigError when the format has no such numbers */
function typeNamed({ to, dtype }: ConvertOptions): WritableType | undefined {
  if (dtype === undefined) return undefined
  const type = DTYPES[dtype] ?? writableTypes.find((one) => one === dtype.toUpperCase())
  if (type === undefined || (to === 'hf' && type.startsWith('Q'))) {
    const known = to === 'hf' ? Object.keys(DTYPES) : conversionDtypes
    throw new ConfigError('conversion', [
      { path: 'dtype', message: `${JSON.stringify(dtype)} cannot be written to ${to}; known are ${known.join(', ')}` },
    ])
  }
  return type
}

const TYPES = new Map<DType, WritableType>([
  ['float32', 'F32'],
  ['float16', 'F16'],
  ['bfloat16', 'BF16'],
])
const DTYPE_OF = new Map<WritableType, DType>([...TYPES].map(([dtype, type]) => [type, dtype]))

/** The type whose tolerance holds: narrower numbers than the source has are rounded, wider ones are not. */
function widest({ tensors }: ModelSource, type: WritableType | undefined): WritableType {
  if (type === undefined) return 'F32'
  const own = new Set([...tensors.values()].map(({ dtype }) => TYPES.get(dtype)))
  return own.size === 1 && own.has(type) ? 'F32' : type
}

async function write(
  source: ModelSource,
  destination: string,
  to: ConversionFormat,
  type: WritableType | undefined,
): Promise<void> {
  if (to === 'gguf') {
    const { tensors } = await planGguf(source, type === undefined ? {} : { type })
    const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)
    checkRoom(
      destination,
      tensors.reduce((sum, one) => sum + bytesOf(one.type, elements(one.shape)), 0),
    )
    await saveGguf(destination, source, type === undefined ? {} : { type })
    return
  }
  const weights = [...weightsOf(source)].map(([name, stored]): PlannedWeight => {
    const { shape } = stored
    const dtype = type === undefined ? stored.dtype : DTYPE_OF.get(type)!
    return { name, shape, dtype, read: () => fresh(source, stored) }
  })
  checkRoom(
    destination,
    weights.reduce((sum, one) => sum + sizeOf(one), 0),
  )
  const tokenizer = await source.tokenizer()
  await saveFolder(destination, source, weights, tokenizer === undefined ? {} : { tokenizer })
}

/** The tensors before it are done with: their pages need not stay. */
function fresh(source: ModelSource, stored: StoredTensor): Tensor {
  source.releasePages()
  return stored.read()
}

function checkRoom(destination: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dirname(resolve(destination)))
  if (bytes > bavail * bsize)
    throw new HearthError(`${destination} needs ${bytes} bytes, its disk has ${bavail * bsize}`, {
      remedy: 'make room, choose another disk or a narrower dtype',
    })
}

function verify(source: ModelSource, destination: string, tolerance: number): Conversion {
  let found: Comparison
  try {
    const written = openModelSource(destination)
    try {
      found = compareSources(source, written)
    } finally {
      written.close()
    }
  } catch (error) {
    rmSync(destination, { recursive: true, force: true })
    throw error
  }
  // NaN is no agreement.
  if (found.relative <= tolerance) return { ...found, tolerance }
  rmSync(destination, { recursive: true, force: true })
  throw new HearthError(
    `${destination} is not the same model: its logits differ by ${found.largest}, ${found.relative} of the largest one, more than ${tolerance}; it was removed`,
    { remedy: 'choose a wider dtype, or say what you accept: --tolerance' },
  )
}
