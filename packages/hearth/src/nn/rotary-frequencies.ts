// How fast each pair of dimensions of a rotary embedding turns, and the published ways to stretch that to longer texts.
// Plain numbers, a pure function of the configuration and the length; tables of angles are in rotary.ts.
import { arange, full, scope } from '@hearth/torch'

/** How positions beyond those of pre-training are reached; field names follow Hugging Face's keys. */
export type RotaryScaling =
  | { kind: 'default' }
  /** All frequencies divided by a factor (kaiokendev 2023; Chen et al. 2023). */
  | { kind: 'linear'; factor: number }
  /** A base that grows with the length beyond the context ("dynamic NTK", emozilla 2023). */
  | { kind: 'dynamic'; factor: number }
  /** Low frequencies divided, high ones kept, those between blended (Llama 3.1). */
  | {
      kind: 'llama3'
      factor: number
      lowFrequencyFactor: number
      highFrequencyFactor: number
      originalContextLength: number
    }
  | YarnScaling
  | LongropeScaling

/** LongRoPE (Ding et al. 2024, arXiv 2402.13753): a factor for each pair, by search. */
export interface LongropeScaling {
  kind: 'longrope'
  factor: number
  originalContextLength: number
  /** Each pair's frequency is divided by its factor: in texts up to the original length, and in longer ones. */
  shortFactors: readonly number[]
  longFactors: readonly number[]
  /** Factor on the cosines and sines; √(1 + ln(factor) / ln(original length)) when it is not given. */
  attentionFactor?: number | undefined
}

/** YaRN (Peng et al. 2023, arXiv 2309.00071). */
export interface YarnScaling {
  kind: 'yarn'
  factor: number
  originalContextLength: number
  /** Rotations within the original context above which a dimension is kept, 32 as published. */
  betaFast: number
  /** Rotations below which it is divided by the factor, 1 as published. */
  betaSlow: number
  /** Whether the bounds between the two are rounded to whole dimensions. */
  truncate: boolean
  /** Factor on the cosines and sines; from the rest when it is not given. */
  attentionFactor?: number
  mscale?: number
  mscaleAllDim?: number
}

/** A rotary embedding, as data. */
export interface Rotary {
  /** Dimensions of a head that turn; even. */
  dims: number
  /** Base of the frequencies, 10000 as published. */
  theta: number
  /** Positions that the model was made for: `max_position_embeddings`. */
  contextLength: number
  scaling: RotaryScaling
}

export interface RotaryFrequencies {
  /** Radians a position, one for each of dims / 2 pairs. */
  frequencies: readonly number[]
  /** Factor on cosine and sine. */
  amplitude: number
}

/** theta^(-2i / dims), rounded to float32 at the steps where Hugging Face rounds: long texts multiply the difference. */
function inverseFrequencies(dims: number, theta: number): number[] {
  return scope(() => {
    const exponents = arange(0, dims, { step: 2, dtype: 'float32' }).div(dims)
    return full(exponents.shape, theta).pow(exponents).reciprocal().toArray()
  })
}

const clamp = (value: number): number => Math.min(1, Math.max(0, value))

function llama3(frequency: number, scaling: Extract<RotaryScaling, { kind: 'llama3' }>): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = scaling
  const rotations = (originalContextLength * frequency) / (2 * Math.PI)
  const kept = clamp((rotations - low) / (high - low))
  return kept * frequency + ((1 - kept) * frequency) / factor
}

/** 0 for pairs that turn fast and are kept, 1 for those that turn slowly and are divided, a ramp between. */
function yarnRamp({ dims, theta }: Rotary, scaling: YarnScaling): (pair: number) => number {
  const pairOf = (rotations: number) =>
    (dims * Math.log(scaling.originalContextLength / (rotations * 2 * Math.PI))) / (2 * Math.log(theta))
  const [first, last] = [pairOf(scaling.betaFast), pairOf(scaling.betaSlow)]
  const low = Math.max(scaling.truncate ? Math.floor(first) : first, 0)
  const high = Math.min(scaling.truncate ? Math.ceil(last) : last, dims - 1)
  return (pair) => clamp((pair - low) / (high === low ? 0.001 : high - low))
}

function yarnAmplitude({ factor, attentionFactor, mscale, mscaleAllDim }: YarnScaling): number {
  if (attentionFactor !== undefined) return attentionFactor
  const grown = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1)
  return mscale && mscaleAllDim ? grown(mscale) / grown(mscaleAllDim) : grown(1)
}

function longropeAmplitude({ factor, originalContextLength, attentionFactor }: LongropeScaling): number {
  if (attentionFactor !== undefined) return attentionFactor
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContextLength))
}

/**
 * The frequencies for a text of `length` tokens; only those of `dynamic` and `longrope` depend on the length.
 * @example
 * rotaryFrequencies({ dims: 4, theta: 100, contextLength: 64, scaling: { kind: 'default' } }, 64).frequencies // [1, 0.1]
 */
export function rotaryFrequencies(rotary: Rotary, length: number): RotaryFrequencies {
  const { dims, theta, contextLength, scaling } = rotary
  const plain = () => inverseFrequencies(dims, theta)
  switch (scaling.kind) {
    case 'default':
      return { frequencies: plain(), amplitude: 1 }
    case 'linear':
      return { frequencies: plain().map((frequency) => frequency / scaling.factor), amplitude: 1 }
    case 'dynamic': {
      const growth = (scaling.factor * Math.max(length, contextLength)) / contextLength - (scaling.factor - 1)
      return { frequencies: inverseFrequencies(dims, theta * growth ** (dims / (dims - 2))), amplitude: 1 }
    }
    case 'llama3':
      return { frequencies: plain().map((frequency) => llama3(frequency, scaling)), amplitude: 1 }
    case 'longrope': {
      const factors = length > scaling.originalContextLength ? scaling.longFactors : scaling.shortFactors
      return { frequencies: plain().map((f, pair) => f / factors[pair]!), amplitude: longropeAmplitude(scaling) }
    }
    case 'yarn': {
      const ramp = yarnRamp(rotary, scaling)
      const mixed = plain().map((f, pair) => (f / scaling.factor) * ramp(pair) + f * (1 - ramp(pair)))
      return { frequencies: mixed, amplitude: yarnAmplitude(scaling) }
    }
  }
}

/** Tokens that the scaling lets the model read. */
export function scaledContextLength({ contextLength, scaling }: Rotary): number {
  // The other scalings are already counted in max_position_embeddings.
  if (scaling.kind === 'linear' || scaling.kind === 'dynamic') return Math.floor(contextLength * scaling.factor)
  return contextLength
}
