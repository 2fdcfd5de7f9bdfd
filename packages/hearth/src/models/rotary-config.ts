// Rotary settings in config.json, in both generations: transformers v5 writes one `rope_parameters` object, v4 wrote
// `rope_theta` beside `rope_scaling`, whose kind was first called `type`, then `rope_type`.
import type { Rotary, RotaryScaling } from '../nn/index.js'
import type { ConfigReader } from './config-reader.js'

const KINDS = ['default', 'linear', 'dynamic', 'llama3', 'yarn', 'longrope'] as const

/** What is not a matter of rope keys alone. */
interface RotaryFields {
  headDim: number
  contextLength: number
  /** v4 key of the base frequency: `rope_theta`. */
  thetaKey: string
  /** Where the configuration names none: 10000 when it is not given. */
  theta?: number
  /** Share of a head that turns, and the key that says so. */
  share: { key: string; value: number }
}

export function readRotary(
  reader: ConfigReader,
  { headDim, contextLength, thetaKey, theta: usual = 10_000, share }: RotaryFields,
): Rotary {
  const parameters = reader.object('rope_parameters')
  const theta = parameters?.has('rope_theta')
    ? parameters.positive('rope_theta', usual)
    : reader.positive(reader.first(thetaKey, 'rope_theta'), usual)
  const dims = Math.floor(headDim * share.value)
  if (dims % 2 === 1) reader.issue(share.key, `${dims} of the ${headDim} dimensions of a head turn, which must be even`)
  if (dims === 0 || dims > headDim)
    reader.issue(share.key, `${dims} of the ${headDim} dimensions of a head turn, which must be 2 to ${headDim}`)
  const scaling = readScaling(parameters ?? reader.object('rope_scaling'), reader, { dims, contextLength })
  return { dims, theta, contextLength, scaling }
}

/** The share of a head that turns, where the family lets it be a part. */
export function readShare(reader: ConfigReader, key: string, fallback: number): { key: string; value: number } {
  const parameters = reader.object('rope_parameters')
  if (parameters?.has('partial_rotary_factor'))
    return {
      key: 'rope_parameters.partial_rotary_factor',
      value: parameters.positive('partial_rotary_factor', fallback),
    }
  const own = reader.first('partial_rotary_factor', key)
  const present = reader.has(own) ? own : key
  return { key: present, value: reader.positive(present, fallback) }
}

function readScaling(
  reader: ConfigReader | undefined,
  outer: ConfigReader,
  rotary: { dims: number; contextLength: number },
): RotaryScaling {
  if (reader === undefined) return { kind: 'default' }
  const kind = reader.choice(reader.first('rope_type', 'type'), 'default', KINDS)
  if (!reader.has('rope_type') && !reader.has('type') && reader.has('factor'))
    reader.issue('rope_type', `is missing, must be one of ${KINDS.join(', ')}`)
  if (kind === 'default') return { kind }
  if (kind === 'llama3') return readLlama3(reader)
  if (kind === 'yarn') return readYarn(reader, rotary.contextLength)
  if (kind === 'longrope') return readLongrope(reader, outer, rotary)
  if (kind === 'dynamic' && rotary.dims <= 2) reader.issue('rope_type', 'dynamic needs more than 2 turning dimensions')
  return { kind, factor: reader.positive('factor', NaN) }
}

function readLlama3(reader: ConfigReader): RotaryScaling {
  const lowFrequencyFactor = reader.positive('low_freq_factor', NaN)
  const highFrequencyFactor = reader.positive('high_freq_factor', NaN)
  if (highFrequencyFactor <= lowFrequencyFactor)
    reader.issue(
      'high_freq_factor',
      `must be above low_freq_factor (${lowFrequencyFactor}), got ${highFrequencyFactor}`,
    )
  return {
    kind: 'llama3',
    factor: reader.positive('factor', NaN),
    lowFrequencyFactor,
    highFrequencyFactor,
    originalContextLength: reader.integer('original_max_position_embeddings', NaN),
  }
}

function readYarn(reader: ConfigReader, contextLength: number): RotaryScaling {
  const originalContextLength = reader.integer('original_max_position_embeddings', contextLength)
  const optional = (key: string) => (reader.has(key) ? reader.positive(key, NaN) : undefined)
  return {
    kind: 'yarn',
    factor: reader.positive('factor', contextLength / originalContextLength),
    originalContextLength,
    betaFast: reader.positive('beta_fast', 32),
    betaSlow: reader.positive('beta_slow', 1),
    truncate: reader.flag('truncate', true),
    attentionFactor: optional('attention_factor'),
    mscale: optional('mscale'),
    mscaleAllDim: optional('mscale_all_dim'),
  }
}

/** The length of pre-training stands beside the context length in some files, and inside in others. */
function readLongrope(
  reader: ConfigReader,
  outer: ConfigReader,
  { dims, contextLength }: { dims: number; contextLength: number },
): RotaryScaling {
  const key = 'original_max_position_embeddings'
  const originalContextLength = (reader.has(key) ? reader : outer).integer(key, contextLength)
  return {
    kind: 'longrope',
    factor: reader.positive('factor', contextLength / originalContextLength),
    originalContextLength,
    shortFactors: reader.factors('short_factor', dims / 2),
    longFactors: reader.factors('long_factor', dims / 2),
    attentionFactor: reader.has('attention_factor') ? reader.positive('attention_factor', NaN) : undefined,
  }
}

/** Keys of both generations. */
export function writeRotary({ theta, scaling }: Rotary): { rope_scaling: object | null; rope_parameters: object } {
  const keys = scalingKeys(scaling)
  return {
    rope_scaling: scaling.kind === 'default' ? null : keys,
    rope_parameters: { rope_theta: theta, ...keys },
  }
}

function scalingKeys(scaling: RotaryScaling): Record<string, unknown> {
  const { kind } = scaling
  if (kind === 'default') return { rope_type: kind }
  if (kind === 'linear' || kind === 'dynamic') return { rope_type: kind, factor: scaling.factor }
  const keys = {
    rope_type: kind,
    factor: scaling.factor,
    original_max_position_embeddings: scaling.originalContextLength,
  }
  const attention = scaling.kind === 'llama3' ? undefined : scaling.attentionFactor
  const given = attention === undefined ? {} : { attention_factor: attention }
  if (kind === 'longrope')
    return { ...keys, short_factor: scaling.shortFactors, long_factor: scaling.longFactors, ...given }
  if (kind === 'llama3')
    return { ...keys, low_freq_factor: scaling.lowFrequencyFactor, high_freq_factor: scaling.highFrequencyFactor }
  return {
    ...keys,
    beta_fast: scaling.betaFast,
    beta_slow: scaling.betaSlow,
    truncate: scaling.truncate,
    ...given,
    ...(scaling.mscale === undefined ? {} : { mscale: scaling.mscale }),
    ...(scaling.mscaleAllDim === undefined ? {} : { mscale_all_dim: scaling.mscaleAllDim }),
  }
}
