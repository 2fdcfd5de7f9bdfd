// Rotary positions in the metadata of GGUF files, and back in config.json.
import type { Json, Refuse } from './architecture.js'
import type { MetadataReader } from './metadata-reader.js'
import { float32, string, uint32, type TypedValue } from './values.js'

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null

const parametersOf = (config: Json): Json => (isObject(config.rope_parameters) ? config.rope_parameters : {})

/** Of `rope_parameters`, which Family.toConfig() always writes where positions are rotary. */
export function rotaryMetadata(config: Json, dims: number, refuse: Refuse): Record<string, TypedValue> {
  const rope = parametersOf(config)
  const number = (key: string) => Number(rope[key])
  const plain = {
    'rope.dimension_count': uint32(dims),
    'rope.freq_base': float32(number('rope_theta')),
  }
  switch (rope.rope_type) {
    case 'linear':
      return { ...plain, 'rope.scaling.type': string('linear'), 'rope.scaling.factor': float32(number('factor')) }
    case 'yarn':
      if (rope.attention_factor !== undefined || rope.mscale !== undefined || rope.truncate === false)
        refuse('rope_parameters', 'attention_factor, mscale and truncate of yarn have no place in GGUF')
      return {
        ...plain,
        'rope.scaling.type': string('yarn'),
        'rope.scaling.factor': float32(number('factor')),
        'rope.scaling.original_context_length': uint32(number('original_max_position_embeddings')),
        'rope.scaling.yarn_beta_fast': float32(Number(rope.beta_fast ?? 32)),
        'rope.scaling.yarn_beta_slow': float32(Number(rope.beta_slow ?? 1)),
      }
    case 'dynamic':
      refuse('rope_parameters.rope_type', '"dynamic" has no place in GGUF')
      return plain
    default:
      return plain // llama3 is a tensor of factors
  }
}

interface Llama3 {
  factor: number
  low_freq_factor: number
  high_freq_factor: number
  original_max_position_embeddings: number
}

/** What each pair's frequency is divided by (Llama 3.1's scaling, which llama.cpp takes as a tensor). */
function llama3Factors(scaling: Llama3, theta: number, dims: number): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling
  return Array.from({ length: dims / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / dims)
    if (wavelength < context / high) return 1
    if (wavelength > context / low) return factor
    const smooth = (context / wavelength - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}

export const rotaryTensors = (config: Json, dims: number): Record<string, number[]> => {
  const rope = parametersOf(config)
  if (rope.rope_type !== 'llama3') return {}
  return { 'rope_freqs.weight': llama3Factors(rope as unknown as Llama3, Number(rope.rope_theta), dims) }
}

/** The parameters that Llama 3.1, 3.2 and 3.3 were published with, but for the factor, which the tensor's last number is. */
const PUBLISHED = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }

/** @returns `rope_theta` and `rope_scaling` */
export function rotaryConfig(reader: MetadataReader, dims: number): Json {
  const rope_theta = reader.number('rope.freq_base', 10_000)
  if (reader.hasTensor('rope_freqs.weight')) return { rope_theta, rope_scaling: llama3Config(reader, rope_theta, dims) }
  const type = reader.text('rope.scaling.type', 'none')
  const factor = () => reader.number('rope.scaling.factor')
  if (type === 'none') return { rope_theta }
  if (type === 'linear') return { rope_theta, rope_scaling: { rope_type: type, factor: factor() } }
  if (type !== 'yarn') reader.issue('rope.scaling.type', `${JSON.stringify(type)} is not supported`)
  const original_max_position_embeddings = reader.number('rope.scaling.original_context_length')
  const betas = {
    beta_fast: reader.number('rope.scaling.yarn_beta_fast', 32),
    beta_slow: reader.number('rope.scaling.yarn_beta_slow', 1),
  }
  return {
    rope_theta,
    rope_scaling: { rope_type: 'yarn', factor: factor(), original_max_position_embeddings, ...betas },
  }
}

/** Finds the parameters whose factors the tensor holds: the contexts and factors that models have are few. */
function llama3Config(reader: MetadataReader, theta: number, dims: number): Json {
  const wanted = reader.numbersOf('rope_freqs.weight')
  const fits = (scaling: Llama3) => {
    const factors = llama3Factors(scaling, theta, dims)
    return (
      factors.length === wanted.length && factors.every((one, i) => Math.abs(one - wanted[i]!) <= 1e-5 * Math.abs(one))
    )
  }
  for (let context = 64; context <= 2 ** 20; context *= 2)
    for (const high_freq_factor of [4, 2, 8]) {
      const scaling = {
        ...PUBLISHED,
        factor: wanted.at(-1) ?? NaN,
        high_freq_factor,
        original_max_position_embeddings: context,
      }
      if (fits(scaling)) return { rope_type: 'llama3', ...scaling }
    }
  reader.issue(
    'rope_freqs.weight',
    'has factors that are not those of llama3 scaling, the only ones that are supported',
  )
  return {}
}
