// The global norm of gradients, and clipping by it. The norm is summed per chunk of a fixed size, then per gradient, then
// in the order of the record, so it has the same bits for any number of threads, and however workers share the gradients.
import { call, ConfigError, noGrad, scope, type Tensor } from '@hearth/torch'
import { expectSetting } from './optimizer.js'

/** Elements whose squares are summed in one go: the kernel's, packages/torch/native/kernels/squared-norms.cc. */
export const NORM_CHUNK = 1 << 14

/**
 * The squared norm of each gradient; NaN or Infinity when it holds such a value. Squares are summed in float32 within a
 * chunk, chunks in float64. Each gradient counts on its own, so that workers which have different ones can put theirs
 * together.
 */
export function squaredNorms(gradients: Readonly<Record<string, Tensor | undefined>>): Record<string, number> {
  const present = Object.entries(gradients).filter((entry): entry is [string, Tensor] => entry[1] !== undefined)
  const tensors = present.map(([, gradient]) => gradient)
  const norms = scope(() => (call('hearth::squared_norms', tensors) as Tensor).toArray())
  return Object.fromEntries(present.map(([path], i) => [path, norms[i]!]))
}

/** The norm of all gradients together, from their squared norms in the order of the weights. */
export function normOf(squared: Iterable<number>): number {
  let sum = 0
  for (const part of squared) sum += part
  return Math.sqrt(sum)
}

/** The Euclidean norm of all gradients together; NaN or Infinity when one of them holds such a value. */
export function gradientNorm(gradients: Readonly<Record<string, Tensor | undefined>>): number {
  return normOf(Object.values(squaredNorms(gradients)))
}

/** What gradients of this norm are multiplied by so that it is at most `maxNorm`, 0 for any; PyTorch's formula. */
export function clipScale(norm: number, maxNorm: number): number {
  return maxNorm === 0 ? 1 : Math.min(1, maxNorm / (norm + 1e-6))
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
