// The affine map, with an adapter where its weights carry one. GPT-2's Conv1D is this one with its weight transposed,
// which loading does.
import { call, type DType, type Tensor } from '@hearth/torch'
import { baseLinear, dequantiseBase, type BaseCodes } from './base-linear.js'
import { integerLinear, type IntegerWeight } from './integer-linear.js'
import { lowRankLinear, type LowRank } from './low-rank.js'

export interface Linear {
  /** (out, in); bytes where `integers` or `base` says how they are to be read. */
  weight: Tensor
  /** (out) */
  bias?: Tensor
  /** A low-rank change of the weight (hearth/adapt). */
  adapter?: LowRank
  /** The weight is integers in groups that share a scale (integer-linear.ts): for running alone, without gradients. */
  integers?: IntegerWeight
  /** The weight is codes that stay as they are while an adapter is trained (base-linear.ts). */
  base?: BaseCodes
}

/**
 * In a product of at most this many rows on the CPU each has the bits that it has alone; in products of more, the bits that it
 * has in any of them.
 */
export const ROWS_AS_ALONE = 32

/** What `hearth::linear` can apply to its sums before they are written. */
export type LinearActivation = 'none' | 'gelu' | 'gelu_tanh' | 'silu'

export interface LinearOptions {
  /** Not for weights with an adapter, or in codes for one. @default none */
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
  const { weight, bias, adapter, integers, base } = weights
  const plain = (x: Tensor, added: LinearOptions & { bias?: Tensor } = {}) =>
    integers
      ? integerLinear({ weight, integers }, x, added)
      : base
        ? baseLinear({ weight, base }, x, added)
        : (call('hearth::linear', x, weight, added.bias, added.residual, added.activation) as Tensor)
  if (adapter !== undefined) return lowRankLinear(plain, { ...weights, adapter }, x, residual)
  return plain(x, { bias, residual, activation })
}

/** (out, in): the weight in floats, also where it is in codes; the same tensor where nothing changes. */
export function floatWeight({ weight, base }: Linear, dtype: DType): Tensor {
  return base === undefined ? weight.to(dtype) : dequantiseBase({ weight, base }, dtype)
}

/** The same map without its bias, for an activation that adds it on the way. */
export function withoutBias({ bias: _bias, ...rest }: Linear): Linear {
  return rest
}
