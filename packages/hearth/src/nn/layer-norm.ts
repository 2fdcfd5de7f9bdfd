// Layer normalisation (Ba, Kiros, Hinton 2016), over the last dimension.
import { layerNorm as normalise, scope, type Tensor } from '@hearth/torch'

export interface LayerNorm {
  /** (width) */
  weight: Tensor
  /** (width) */
  bias: Tensor
}

/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias, with the biased variance. 16-bit floats are computed in float32 and
 * rounded once: the gradients of weight and bias sum over every token, which libtorch would do in 16 bits.
 * @param x (..., width)
 * @returns (..., width)
 */
export function layerNorm({ weight, bias }: LayerNorm, x: Tensor, eps: number): Tensor {
  const { dtype } = x
  if (dtype === 'float32' || dtype === 'float64') return normalise(x, weight.shape, { weight, bias, eps })
  return scope(() => {
    const wide = { weight: weight.to('float32'), bias: bias.to('float32'), eps }
    return normalise(x.to('float32'), weight.shape, wide).to(dtype)
  })
}
