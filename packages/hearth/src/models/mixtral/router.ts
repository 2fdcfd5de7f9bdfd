// Which experts a token visits and with what share (Jiang et al. 2024), and the loss that keeps them equally busy (Fedus,
// Zoph, Shazeer 2021, "Switch Transformers", equation 4). N tokens, X experts, k experts a token.
import { call, scope, type Tensor } from '@hearth/torch'
import { linear, type Linear } from '../../nn/index.js'

export interface Routes {
  /** (N, k) int64 */
  chosen: Tensor
  /** (N, k), adding up to 1 for each token, in the dtype of the tokens. */
  shares: Tensor
  /** (N, X) float32: the softmax over all experts. */
  probabilities: Tensor
}

/** @param x (N, D) */
export function route(router: Linear, x: Tensor, expertsPerToken: number): Routes {
  const wide = x.dtype === 'float64' ? 'float64' : 'float32'
  const probabilities = linear(router, x).softmax(1, { dtype: wide }) // (N, X)
  const [best, chosen] = probabilities.topk(expertsPerToken, { dim: 1 }) // (N, k)
  return { chosen, shares: best.div(best.sum([1], { keepdim: true })).to(x.dtype), probabilities }
}

/**
 * X · Σ over experts of (visits a token) · (mean probability), which is smallest, k, when all are equally busy. Only the
 * probabilities have a gradient.
 */
export function balanceLoss({ chosen, probabilities }: Routes): Tensor {
  return scope(() => {
    const [tokens, experts] = probabilities.shape as [number, number]
    const visits = chosen.flatten().bincount({ minlength: experts }).to(probabilities.dtype).div(tokens) // (X)
    return visits
      .mul(probabilities.mean([0]))
      .sum()
      .mul(experts)
  })
}

/**
 * x as it is; the backward pass gives the loss the gradient 1. So a block stays a function of its input, also when it runs
 * again for its activations.
 */
export const carryLoss = (x: Tensor, loss: Tensor): Tensor => call('hearth::carry_loss', x, loss) as Tensor
