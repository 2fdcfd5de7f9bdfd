// The global norm of gradients, and clipping by it. The norm is summed per chunk of a fixed size and then in the order
// of the record, so it has the same bits for any number of threads, and for any sharding at multiples of a chunk.
import { cat, ConfigError, linalgVectorNorm, noGrad, scope, type Tensor } from '@hearth/torch'
import { expectSetting } from './optimizer.js'

/** Elements whose squares are summed in one go. 2^14 floats stay in the first cache; other sizes measured no faster. */
export const NORM_CHUNK = 1 << 14

/** Norms of the chunks of one tensor: one or two float32 vectors, the second for the rest that fills no chunk. */
function chunkNorms(gradient: Tensor): Tensor[] {
  const size = gradient.numel
  const flat = gradient.reshape([size])
  const whole = size - (size % NORM_CHUNK)
  const norms: Tensor[] = []
  if (whole > 0) {
    const chunks = flat.narrow(0, 0, whole).view([whole / NORM_CHUNK, NORM_CHUNK]) // (chunks, NORM_CHUNK)
    norms.push(linalgVectorNorm(chunks, { dim: [1], dtype: 'float32' }))
  }
  if (whole < size) {
    const rest = flat.narrow(0, whole, size - whole).view([1, size - whole])
    norms.push(linalgVectorNorm(rest, { dim: [1], dtype: 'float32' }))
  }
  return norms
}

/**
 * The Euclidean norm of all gradients together; NaN or Infinity when one of them holds such a value.
 * Chunks are summed in float32, chunk norms in float64.
 */
export function gradientNorm(gradients: Readonly<Record<string, Tensor | undefined>>): number {
  const present = Object.values(gradients).filter((gradient) => gradient !== undefined)
  if (present.length === 0) return 0
  return noGrad(() =>
    scope(() => {
      // Gathered first: one wait for the device, not one a tensor.
      const norms = cat(present.flatMap(chunkNorms)).to({ device: 'cpu', dtype: 'float32' }).data() as Float32Array
      let sum = 0
      for (const norm of norms) sum += norm * norm
      return Math.sqrt(sum)
    }),
  )
}

/** What gradients of this norm are multiplied by so that it is at most `maxNorm`; PyTorch's formula. */
export function clipScale(norm: number, maxNorm: number): number {
  return Math.min(1, maxNorm / (norm + 1e-6))
}

/**
 * Scales all gradients in place so that their global norm is at most `maxNorm`. Gradients whose norm is not finite are
 * left as they are, for the caller to skip the step. Where the optimizer follows at once, `gradientNorm` with
 * `update({ gradientScale: clipScale(norm, maxNorm) })` does the same without writing the gradients.
 * @returns the norm before clipping
 * @throws ConfigError when `maxNorm` is not a number above 0
 */
export function clipGradients(gradients: Readonly<Record<string, Tensor | undefined>>, maxNorm: number): number {
  const issues = expectSetting('maxNorm', maxNorm, 'a number above 0', (x) => x > 0)
  if (issues.length > 0) throw new ConfigError('gradient clipping', issues)
  const norm = gradientNorm(gradients)
  const scale = clipScale(norm, maxNorm)
  if (Number.isFinite(norm) && scale < 1)
    noGrad(() => Object.values(gradients).forEach((gradient) => gradient?.mul_(scale)))
  return norm
}
