// Layer normalisation (Ba, Kiros, Hinton 2016), over the last dimension.
import { call, type Tensor } from '@hearth/torch'

export interface LayerNorm {
  /** (width) */
  weight: Tensor
  /** (width) */
  bias: Tensor
}

/** Where a residual connection meets a norm. */
export interface AddedAndNormed {
  /** (..., width): the residual stream. */
  sum: Tensor
  /** (..., width): its norm. */
  normed: Tensor
}

/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias, with the biased variance, computed in float32 and rounded once.
 * @param x (..., width)
 * @returns (..., width)
 * @throws TorchError when the widths do not fit
 */
export function layerNorm({ weight, bias }: LayerNorm, x: Tensor, eps: number): Tensor {
  return (call('hearth::layer_norm', x, undefined, weight, bias, eps) as [undefined, Tensor])[1]
}

/**
 * x + residual and the norm of it, in one pass.
 * @param x (..., width)
 * @param residual (..., width)
 */
export function addLayerNorm({ weight, bias }: LayerNorm, x: Tensor, residual: Tensor, eps: number): AddedAndNormed {
  const [sum, normed] = call('hearth::layer_norm', x, residual, weight, bias, eps) as [Tensor, Tensor]
  return { sum, normed }
}
