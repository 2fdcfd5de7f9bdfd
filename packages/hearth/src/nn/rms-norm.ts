// Root mean square normalisation (Zhang, Sennrich 2019), over the last dimension.
import { call, type Tensor } from '@hearth/torch'
import type { AddedAndNormed } from './layer-norm.js'

export interface RmsNorm {
  /** (width) */
  weight: Tensor
}

/**
 * y = x / sqrt(mean(x²) + eps) * weight, computed in float32 and rounded once.
 * @param x (..., width)
 * @returns (..., width)
 * @throws TorchError when the widths do not fit
 */
export function rmsNorm({ weight }: RmsNorm, x: Tensor, eps: number): Tensor {
  return (call('hearth::rms_norm', x, undefined, weight, eps) as [undefined, Tensor])[1]
}

/**
 * x + residual and the norm of it, in one pass.
 * @param x (..., width)
 * @param residual (..., width)
 */
export function addRmsNorm({ weight }: RmsNorm, x: Tensor, residual: Tensor, eps: number): AddedAndNormed {
  const [sum, normed] = call('hearth::rms_norm', x, residual, weight, eps) as [Tensor, Tensor]
  return { sum, normed }
}
