// A model as a GGUF file that llama.cpp and those who build on it read.
import { ConfigError, type ConfigIssue, tensor } from '@hearth/torch'
import type { Tokenizer } from '../../data/index.js'
import type { StoredTensor } from '../../models/index.js'
import { weightsOf, type ModelSource } from '../source.js'
import type { Architecture } from './architecture.js'
import { architectures, toGguf, type Translated } from './architectures.js'
import { tensorTypes, type WritableType } from './tensor-types.js'
import { tokenizerMetadata } from './tokenizer-to-gguf.js'
import { string, uint32, type TypedValue } from './values.js'
import { writeGguf, type GgufTensor } from './write.js'

export interface SaveGgufOptions {
  /** Of matrices; what each weight has when it is not given. Other tensors stay in F32. */
  type?: WritableType
  /** What the file is called in it. */
  name?: string
}

/** What is written where a row has not whole blocks of the wanted type, and for the head of 4-bit files. */
const INSTEAD: Partial<Record<WritableType, WritableType>> = { Q4_K: 'Q8_0', Q6_K: 'Q8_0', Q4_0: 'F16', Q8_0: 'F16' }
const HEADS = new Set(['output.weight', 'token_embd.weight'])
/** Positions are looked up and added, and the choice of experts hangs on small differences: blocks would cost more than they save. */
const PRECISE = /^position_embd\.|\.ffn_gate_inp\./

/**
 * Writes a GGUF file, tensor by tensor.
 * @returns the types that were written, by name
 * @throws ConfigError listing all that GGUF or llama.cpp has no place for, before anything is written
 * @throws HearthError when the disk refuses; nothing is left behind
 */
export async function saveGguf(
  path: string,
  source: ModelSource,
  options: SaveGgufOptions = {},
): Promise<Map<string, WritableType>> {
  const plan = await planGguf(source, options)
  writeGguf(path, plan.metadata, plan.tensors)
  return new Map(plan.tensors.map(({ name, type }) => [name, type]))
}

/** Everything that saveGguf() writes, with nothing read yet. */
export async function planGguf(
  source: ModelSource,
  { type, name }: SaveGgufOptions,
): Promise<{ metadata: Record<string, TypedValue>; tensors: GgufTensor[] }> {
  const { family } = source
  const issues: ConfigIssue[] = []
  const refuse = (at: string, message: string) => void issues.push({ path: at, message })
  const architecture = architectures.find(({ families }) => families.includes(family.name))
  if (architecture === undefined)
    throw new ConfigError(`${source.where} as GGUF`, [
      { path: 'model_type', message: `llama.cpp has no architecture for ${family.name}` },
    ])
  const config = family.toConfig(source.config)
  const tokenizer = await source.tokenizer()
  const { heads, keyValueHeads, vocabularySize } = family.shape(source.config)
  const weights = toGguf(architecture, weightsOf(source), { heads, keyValueHeads }, (weight) =>
    refuse(weight, `has no name in GGUF's ${architecture.name}`),
  )
  const metadata = {
    'general.architecture': string(architecture.name),
    'general.name': string(name ?? family.name),
    ...fileType(type, weights),
    ...prefixed(architecture, architecture.metadata(config, refuse)),
    ...tokenMetadata(tokenizer, config, vocabularySize, refuse),
  }
  if (issues.length > 0) throw new ConfigError(`${source.where} as GGUF`, issues)
  const all = [...withHead(architecture, weights), ...extras(architecture, config)]
  const tensors = all.map((weight) => {
    const read = () => {
      source.releasePages() // of the tensors before, which are written
      return weight.read()
    }
    return { ...weight, read, type: typeOf(weight, type) }
  })
  return { metadata, tensors }
}

const prefixed = ({ name }: Architecture, values: Record<string, TypedValue>): Record<string, TypedValue> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [`${name}.${key}`, value]))

function fileType(type: WritableType | undefined, weights: readonly Translated[]): Record<string, TypedValue> {
  const mostly = type ?? ownType(weights.find(({ shape }) => shape.length > 1)!.parts[0]!)
  return {
    'general.file_type': uint32(tensorTypes[mostly].fileType!),
    ...(mostly.startsWith('Q') ? { 'general.quantization_version': uint32(2) } : {}),
  }
}

function tokenMetadata(
  tokenizer: Tokenizer | undefined,
  config: Readonly<Record<string, unknown>>,
  vocabularySize: number,
  refuse: (key: string, message: string) => void,
): Record<string, TypedValue> {
  const [end, turn] = [config.eos_token_id].flat()
  const ids = { bos: [config.bos_token_id].flat()[0], eos: end, eot: turn }
  const known = Object.entries(ids).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  const keys = known.map(([name, id]) => [`tokenizer.ggml.${name}_token_id`, uint32(id)] as const)
  const rest =
    tokenizer === undefined
      ? { 'tokenizer.ggml.model': string('no_vocab') }
      : tokenizerMetadata(tokenizer, vocabularySize, refuse)
  return { ...rest, ...Object.fromEntries(keys) }
}

function withHead({ needsHead }: Architecture, weights: Translated[]): Translated[] {
  const embedding = weights.find(({ name }) => name === 'token_embd.weight')!
  const complete = !needsHead || weights.some(({ name }) => name === 'output.weight')
  return complete ? weights : [...weights, { ...embedding, name: 'output.weight' }]
}

function extras({ extraTensors }: Architecture, config: Readonly<Record<string, unknown>>): Translated[] {
  return Object.entries(extraTensors?.(config) ?? {}).map(([name, numbers]) => {
    return { name, shape: [numbers.length], parts: [], read: () => tensor(numbers) }
  })
}

function ownType(stored: StoredTensor): WritableType {
  if (stored.dtype === 'bfloat16') return 'BF16'
  return stored.dtype === 'float16' ? 'F16' : 'F32'
}

function typeOf({ name, shape, parts }: Translated, wanted: WritableType | undefined): WritableType {
  if (shape.length < 2 || PRECISE.test(name)) return 'F32'
  if (wanted === undefined) return ownType(parts[0]!)
  const better = HEADS.has(name) && wanted.startsWith('Q4') ? 'Q6_K' : wanted
  let type: WritableType = better
  while (shape.at(-1)! % tensorTypes[type].elements !== 0) type = INSTEAD[type]!
  return type
}
