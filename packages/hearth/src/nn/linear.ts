// The affine map. GPT-2's Conv1D is this one with its weight transposed, which loading does.
import { call, type Tensor } from '@hearth/torch'

export interface Linear {
  /** (out, in) */
  weight: Tensor
  /** (out) */
  bias?: Tensor
}

/** What `hearth::linear` can apply to its sums before they are written. */
export type LinearActivation = 'none' | 'gelu' | 'gelu_tanh' | 'silu'

export interface LinearOptions {
  /** @default none */
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
export function linear({ weight, bias }: Linear, x: Tensor, { activation, residual }: LinearOptions = {}): Tensor {
  return call('hearth::linear', x, weight, bias, residual, activation) as Tensor
}
