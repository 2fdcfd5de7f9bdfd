// The global norm of gradients, and clipping by it. The norm is summed per chunk of a fixed size and then in the order
// of the record, so it has the same bits for any number of threads, and for any sharding at multiples of a chunk.
import { call, ConfigError, noGrad, type Tensor } from '@hearth/torch'
import { expectSetting } from './optimizer.js'

/** Elements whose squares are summed in one go: the kernel's, packages/torch/native/kernels/gradient-norm.cc. */
export const NORM_CHUNK = 1 << 14

/**
 * The Euclidean norm of all gradients together; NaN or Infinity when one of them holds such a value.
 * Squares are summed in float32 within a chunk, chunks in float64.
 */
export function gradientNorm(gradients: Readonly<Record<string, Tensor | undefined>>): number {
  const present = Object.values(gradients).filter((gradient) => gradient !== undefined)
  return present.length === 0 ? 0 : (call('hearth::gradient_norm', present) as number)
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
