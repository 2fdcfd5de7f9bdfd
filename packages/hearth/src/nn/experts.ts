// Mixtures of experts: of many gated feed-forward parts each token visits a few. Tokens are grouped by expert, so that
// each product has all tokens of one expert and nobody else's, and an expert without tokens costs nothing.
// N tokens, X experts, k experts a token, D width, F width inside an expert. Sources: Shazeer et al. 2017
// (arXiv:1701.06538), Jiang et al. 2024 (Mixtral, arXiv:2401.04088). Not here: the router and its loss.
import { arange, cat, divRounded, scope, type Tensor } from '@hearth/torch'
import { gated, type Activation } from './activation.js'
import { embedding } from './embedding.js'
import { linear, type Linear } from './linear.js'

/** One gated feed-forward part. */
export interface Expert {
  gate: Linear
  up: Linear
  down: Linear
}

/**
 * Σ over a token's experts of share · expert(x).
 * @param x (N, D)
 * @param chosen (N, k) int64: the experts of each token
 * @param shares (N, k), in the dtype of x
 * @returns (N, D)
 */
export function groupedGatedLinear(
  experts: readonly Expert[],
  activation: Activation,
  x: Tensor,
  { chosen, shares }: { chosen: Tensor; shares: Tensor },
): Tensor {
  const [N, k] = chosen.shape as [number, number]
  return scope(() => {
    const flat = chosen.flatten() // (N·k)
    const places = arange(N * k, undefined, { dtype: 'int64', device: x.device })
    // Expert by expert, and of one expert in the order of the text: no two keys are the same.
    const order = flat
      .mul(N * k)
      .add(places)
      .argsort() // (N·k), places of `flat`
    const grouped = embedding({ weight: x }, divRounded(order, k, { roundingMode: 'floor' })) // (N·k, D), tokens by expert
    const counts = flat.bincount({ minlength: experts.length }).toArray()
    let start = 0
    const outputs = experts.flatMap(({ gate, up, down }, index) => {
      const count = counts[index]!
      const rows = grouped.narrow(0, start, count) // (count, D)
      start += count
      return count === 0 ? [] : [linear(down, gated(activation, linear(gate, rows), linear(up, rows)))] // (count, D)
    })
    const back = embedding({ weight: cat(outputs) }, order.argsort()) // (N·k, D), as `flat` was
    return back.unflatten(0, [N, k]).mul(shares.unsqueeze(2)).sum([1]) // (N, k, D) → (N, D)
  })
}
