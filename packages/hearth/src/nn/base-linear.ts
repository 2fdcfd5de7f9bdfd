// A linear layer whose weight stays as it is in 4 or 8 bits while an adapter beside it is trained (QLoRA, Dettmers et al.
// 2023, arXiv:2305.14314). Gradients go through such a weight, not to it. For running alone see integer-linear.ts.
import { call, scope, type DType, type Tensor } from '@hearth/torch'

/** NF4 with double quantisation, 4.13 bits a weight; or 8-bit integers in blocks of 64, 8.25 bits. */
export type BaseFormat = 'nf4' | 'int8'

export const BASE_FORMATS = ['nf4', 'int8'] as const satisfies readonly BaseFormat[]

/** What belongs to the codes of a weight. */
export interface BaseCodes {
  /** One a block of 64: codes of their own (nf4) or bfloat16. */
  scales: Tensor
  /** nf4: the mean of the scales, then the largest difference from it in every 256 of them. */
  nested: Tensor
  outputs: number
  inputs: number
}

/** Codes, and what belongs to them. */
export interface BaseLinear {
  /** One code a byte, or two (nf4), in the order of the weight's rows. */
  weight: Tensor
  base: BaseCodes
}

/**
 * A weight in codes. NF4's are those of bitsandbytes.
 * @param weight (out, in), not changed
 */
export function quantiseBase(weight: Tensor, format: BaseFormat): BaseLinear {
  const [outputs, inputs] = weight.shape as [number, number]
  const [codes, scales, nested] = call('hearth::quantise_base', weight, format) as [Tensor, Tensor, Tensor]
  return { weight: codes, base: { scales, nested, outputs, inputs } }
}

/** (out, in): what the codes stand for. */
export function dequantiseBase({ weight, base }: BaseLinear, dtype: DType = 'float32'): Tensor {
  const { scales, nested, outputs, inputs } = base
  return call('hearth::dequantise_base', weight, scales, nested, outputs, inputs, dtype) as Tensor
}

/**
 * y = x Wᵀ + b + residual. W is turned into floats of the dtype of x tile by tile inside the product, there and on the way
 * back, and never exists whole.
 * @param x (..., in)
 * @returns (..., out)
 * @throws TorchError when the shapes do not fit
 */
export function baseLinear(
  { weight, base }: BaseLinear,
  x: Tensor,
  { bias, residual }: { bias?: Tensor; residual?: Tensor } = {},
): Tensor {
  const { scales, nested, outputs } = base
  return scope(() => call('hearth::linear_base', x, weight, scales, nested, outputs, bias, residual) as Tensor)
}
