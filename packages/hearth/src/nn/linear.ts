// The affine map. GPT-2's Conv1D is this one with its weight transposed, which loading does.
import { linear as affine, type Tensor } from '@hearth/torch'
import { roundedOnce } from './product-dtype.js'

export interface Linear {
  /** (out, in) */
  weight: Tensor
  /** (out) */
  bias?: Tensor
}

/**
 * y = x Wᵀ + b.
 * @param x (..., in)
 * @returns (..., out)
 * @throws TorchError when the widths do not fit
 */
export function linear({ weight, bias }: Linear, x: Tensor): Tensor {
  return roundedOnce(x, (widen) => affine(widen(x), widen(weight), { bias: bias && widen(bias) }))
}
