// Root mean square normalisation (Zhang, Sennrich 2019), over the last dimension.
import { scope, type Tensor } from '@hearth/torch'

export interface RmsNorm {
  /** (width) */
  weight: Tensor
}

/**
 * y = x / sqrt(mean(x²) + eps) * weight. Normalised in float32, rounded to the dtype of x, then scaled, as Hugging Face's
 * LLaMA does.
 * @param x (..., width)
 * @returns (..., width)
 */
export function rmsNorm({ weight }: RmsNorm, x: Tensor, eps: number): Tensor {
  return scope(() => {
    const wide = x.dtype === 'float64' ? x : x.to('float32')
    const width = x.shape[x.shape.length - 1]!
    // The norm reads x once and keeps nothing of its size; squaring and averaging would keep x².
    const squares = wide.linalgVectorNorm({ dim: -1, keepdim: true }).square() // (..., 1)
    return wide.mul(squares.div(width).add(eps).rsqrt()).to(x.dtype).mul(weight.to(x.dtype))
  })
}
