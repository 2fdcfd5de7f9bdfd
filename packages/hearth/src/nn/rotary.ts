// Rotary position embedding (Su et al. 2021), half-split: dimension i turns with dimension i + dims / 2, as in GPT-NeoX
// and Hugging Face's LLaMA. T tokens, R dimensions that turn, E width of a head.
import { arange, cat, keep, scope, tensor, type Device, type DType, type Tensor } from '@hearth/torch'
import type { Positions } from './attention-cache.js'
import { rotaryFrequencies, type Rotary } from './rotary-frequencies.js'

/** What turns the tokens at T positions. Views of shared tables: do not write. */
export interface RotaryTables {
  /** (T, R) */
  cos: Tensor
  /** (T, R); the first half negated, so that turning needs no negation. */
  sin: Tensor
}

interface Cached extends RotaryTables {
  positions: number
}

const cache = new WeakMap<Rotary, Map<string, Cached>>()

/** Tables for positions 0 to `positions`; angles in float32, rounded to `dtype` at the end. */
function makeTables(rotary: Rotary, positions: number, dtype: DType, device: Device): Cached {
  const { frequencies, amplitude } = rotaryFrequencies(rotary, positions)
  const { cos, sin } = scope(() => {
    const angles = arange(positions, undefined, { dtype: 'float32' }).outer(tensor([...frequencies])) // (positions, R/2)
    const [c, s] = [angles.cos().mul(amplitude), angles.sin().mul(amplitude)]
    const place = (halves: Tensor[]) => cat(halves, { dim: 1 }).to({ dtype, device }) // (positions, R)
    return { cos: place([c, c]), sin: place([s.neg(), s]) }
  })
  return { positions, cos: keep(cos), sin: keep(sin) }
}

/** Whether the angle of a position depends on the length of the text; else a longer table serves a shorter text. */
const dependsOnLength = ({ scaling }: Rotary) => scaling.kind === 'dynamic' || scaling.kind === 'longrope'

/** What is made for a text of `length` tokens: lengths with the same result have the same angles. */
function positionsToMake({ scaling, contextLength }: Rotary, length: number): number {
  if (scaling.kind === 'dynamic') return Math.max(length, contextLength)
  if (scaling.kind === 'longrope') {
    const { originalContextLength: short } = scaling
    return length <= short ? short : Math.max(length, contextLength)
  }
  return 2 ** Math.ceil(Math.log2(Math.max(length, 64)))
}

/**
 * The tables for `length` tokens from position `at` on, or at the positions of several texts, each as it would be alone.
 * They are made once for each length, dtype and device, and live as long as the `rotary` object does.
 */
export function rotaryTables(
  rotary: Rotary,
  at: Positions,
  length: number,
  dtype: DType = 'float32',
  device: Device = 'cpu',
): RotaryTables {
  if (typeof at === 'number') return tablesOfText(rotary, at, length, dtype, device)
  const tables = at.map(({ start, count }) => tablesOfText(rotary, start, count, dtype, device))
  const joined = (parts: Tensor[]) => (parts.length === 1 ? parts[0]! : cat(parts)) // (N, R)
  return { cos: joined(tables.map(({ cos }) => cos)), sin: joined(tables.map(({ sin }) => sin)) }
}

function tablesOfText(rotary: Rotary, start: number, length: number, dtype: DType, device: Device): RotaryTables {
  const made = cache.get(rotary) ?? new Map<string, Cached>()
  cache.set(rotary, made)
  const key = `${dtype} ${device}`
  const positions = positionsToMake(rotary, start + length)
  let tables = made.get(key)
  const fits = dependsOnLength(rotary) ? tables?.positions === positions : positions <= (tables?.positions ?? 0)
  if (tables === undefined || !fits) {
    tables?.cos.dispose()
    tables?.sin.dispose()
    tables = makeTables(rotary, positions, dtype, device)
    made.set(key, tables)
  }
  return { cos: tables.cos.narrow(0, start, length), sin: tables.sin.narrow(0, start, length) }
}

/**
 * Turns the first R dimensions of each head by the angles of its positions and leaves the rest.
 * @param x (B, H, T, E)
 * @returns (B, H, T, E)
 */
export function applyRotary(x: Tensor, { cos, sin }: RotaryTables): Tensor {
  const [width, dims] = [x.shape[3]!, cos.shape[1]!]
  return scope(() => {
    const turning = dims === width ? x : x.narrow(3, 0, dims) // (B, H, T, R)
    const swapped = turning.roll(dims / 2, { dims: 3 }) // its two halves in each other's place
    const turned = turning.mul(cos).addcmul(swapped, sin)
    return dims === width ? turned : cat([turned, x.narrow(3, dims, width - dims)], { dim: 3 })
  })
}
