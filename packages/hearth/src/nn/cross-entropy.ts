// The loss of next-token prediction, in float32 whatever the logits are.
import { logSoftmax, nllLoss, scope, type Tensor } from '@hearth/torch'

export interface CrossEntropyOptions {
  /** Targets of this value count for nothing; -100 when it is not given. */
  ignoreIndex?: number
  /** `mean` over the targets that count (NaN when none does), `sum`, or `none` for one loss a target. */
  reduction?: 'mean' | 'sum' | 'none'
}

// libtorch's codes.
const REDUCTIONS = { none: 0, mean: 1, sum: 2 } as const

/**
 * -log softmax(logits)[target], in nats.
 * @param logits (B, T, V)
 * @param targets (B, T) int64: the token that follows each position
 * @returns a float32 scalar, or (B, T) without reduction
 * @throws TorchError when a target is neither a class nor `ignoreIndex`
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -100, reduction = 'mean' } = options
  return scope(() => {
    const classes = logits.flatten({ endDim: -2 }) // (B·T, V)
    // Widened inside the operator, so that no float32 copy of the logits stays alive.
    const logProbabilities = logSoftmax(classes, -1, { dtype: 'float32' })
    const loss = nllLoss(logProbabilities, targets.flatten(), { reduction: REDUCTIONS[reduction], ignoreIndex })
    return reduction === 'none' ? loss.view(targets.shape) : loss
  })
}
