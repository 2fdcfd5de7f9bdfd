// The affine map, with an adapter where its weights carry one. GPT-2's Conv1D is this one with its weight transposed,
// which loading does.
import { call, type Tensor } from '@hearth/torch'
import { lowRankLinear, type LowRank, type PlainProduct } from './low-rank.js'

export interface Linear {
  /** (out, in) */
  weight: Tensor
  /** (out) */
  bias?: Tensor
  /** A low-rank change of the weight (hearth/adapt). */
  adapter?: LowRank
}

/** What `hearth::linear` can apply to its sums before they are written. */
export type LinearActivation = 'none' | 'gelu' | 'gelu_tanh' | 'silu'

export interface LinearOptions {
  /** Not for weights with an adapter. @default none */
  activation?: LinearActivation
  /** (..., out), added after the activation. */
  residual?: Tensor
}

/**
 * y = activation(x Wᵀ + b) + residual, with products summed in float32 (float64 in float64) and rounded once.
 * @param x (..., in)
 * @returns (..., out)
 * @throws TorchError when the widths do not fit
 * @example
 * const y = linear(weights.out, attended, { residual: x })
 */
export function linear(weights: Linear, x: Tensor, { activation, residual }: LinearOptions = {}): Tensor {
  const { weight, bias, adapter } = weights
  if (adapter === undefined) return call('hearth::linear', x, weight, bias, residual, activation) as Tensor
  const plain: PlainProduct = (x, added = {}) => call('hearth::linear', x, weight, added.bias, added.residual) as Tensor
  return lowRankLinear(plain, { ...weights, adapter }, x, residual)
}

/** The same map without its bias, for an activation that adds it on the way. */
export function withoutBias({ bias: _bias, ...rest }: Linear): Linear {
  return rest
}
