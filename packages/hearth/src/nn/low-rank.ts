// What an adapter adds to a linear layer: LoRA's low-rank change (Hu et al. 2021, arXiv:2106.09685), and DoRA's magnitude
// (Liu et al. 2024, arXiv:2402.09353). Which layers have one, and where it comes from: hearth/adapt.
import { call, noGrad, scope, type Tensor } from '@hearth/torch'
import { dropout, type Dropout } from './dropout.js'
import { floatWeight, type Linear } from './linear.js'

/** The change of one linear layer: W + scale · B A, with W (out, in) left as it is. */
export interface LowRank {
  /** (r, in) */
  a: Tensor
  /** (out, r) */
  b: Tensor
  /** α / r, or α / √r (rank-stabilised, Kalajdzievski 2023). */
  scale: number
  /** DoRA: the length of each row of the changed weight, (out). */
  magnitude?: Tensor
  /** DoRA: the squared length of each row of W, (out) float32. */
  squaredRows?: Tensor
  /** Share of the inputs of A that become 0 in training, by a mask that is a function of the seed. */
  dropout?: Dropout
}

/** A product with W and no adapter: (..., in) → (..., out), with what is given added. */
export type PlainProduct = (x: Tensor, added?: { bias?: Tensor; residual?: Tensor }) => Tensor

/**
 * x (W + scale · B A)ᵀ + b + residual; with a magnitude m, its rows are first brought to the lengths m.
 * @param plain the product with W
 * @param x (..., in)
 * @returns (..., out)
 */
export function lowRankLinear(
  plain: PlainProduct,
  { bias, adapter }: Linear & { adapter: LowRank },
  x: Tensor,
  residual?: Tensor,
): Tensor {
  return scope(() => {
    const { a, b, scale, magnitude } = adapter
    const low = product(dropout(x, adapter.dropout), a).mul(scale) // (..., r)
    if (magnitude === undefined) return plain(x, { bias, residual: product(low, b, residual) })
    const lengths = noGrad(() => rowLengths(plain, adapter)) // (out), a constant to autograd, as the paper has it
    const gain = magnitude.div(lengths.to(magnitude.dtype)) // (out)
    const turned = plain(x, { residual: product(low, b) }).mul(gain) // (..., out)
    const biased = bias === undefined ? turned : turned.add(bias)
    return residual === undefined ? biased : biased.add(residual)
  })
}

const product = (x: Tensor, weight: Tensor, residual?: Tensor): Tensor =>
  call('hearth::linear', x, weight, undefined, residual) as Tensor

/**
 * ‖W + s B A‖ of each row, without making that matrix: ‖w‖² + 2 s b·(A w) + s² b (A Aᵀ) bᵀ.
 * @returns (out) float32
 */
function rowLengths(plain: PlainProduct, { a, b, scale, squaredRows }: LowRank): Tensor {
  return scope(() => {
    const across = plain(a).t().to('float32') // (out, r), W Aᵀ
    const [wideA, wideB] = [a.to('float32'), b.to('float32')]
    const inner = product(wideB, product(wideA, wideA)) // (out, r), B (A Aᵀ), and A Aᵀ is symmetric
    const change = across.mul(2 * scale).add(inner.mul(scale * scale))
    return squaredRows!.add(change.mul(wideB).sum([1])).sqrt()
  })
}

/** ‖w‖² of each row of a layer's weight, (out) float32: for LowRank.squaredRows. */
export function squaredRowsOf(layer: Linear): Tensor {
  return noGrad(() => scope(() => floatWeight(layer, 'float32').detach().square().sum([1])))
}
