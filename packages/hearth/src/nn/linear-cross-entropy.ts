// The loss of next-token prediction from the hidden states: projection to the vocabulary and cross-entropy in one, so
// that the logits never exist whole. The loss of logits that do exist is in cross-entropy.ts.
import { call, scope, type Tensor } from '@hearth/torch'
import type { Linear } from './linear.js'

export interface LinearCrossEntropyOptions {
  /** Targets of this value count for nothing; -100 when it is not given. */
  ignoreIndex?: number
  /** `mean` over the targets that count (NaN when none does), or `sum`. */
  reduction?: 'mean' | 'sum'
}

/**
 * -log softmax(x Wᵀ + b)[target], in nats: `crossEntropy(linear(projection, x), targets)`, chunk by chunk. Gradients are
 * made together with the loss, so that a forward pass costs as much as both.
 * @param projection to the vocabulary: (V, D)
 * @param x (B, T, D)
 * @param targets (B, T) int64: the token that follows each position
 * @returns a scalar, float32 (float64 for operands in float64)
 * @throws TorchError when a target is neither a class nor `ignoreIndex`
 */
export function linearCrossEntropy(
  { weight, bias }: Linear,
  x: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  const { ignoreIndex = -100, reduction = 'mean' } = options
  return scope(() => {
    const rows = x.flatten({ endDim: -2 }) // (B·T, D)
    const mean = reduction === 'mean'
    return call('hearth::linear_cross_entropy', rows, weight, bias, targets.flatten(), ignoreIndex, mean) as Tensor
  })
}
