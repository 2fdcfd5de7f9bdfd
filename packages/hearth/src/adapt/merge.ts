// An adapter made part of the weights: W + s B A, or DoRA's rescaled rows; and how much that changes what a model says.
// A base in codes becomes the floats that the adapter was trained on. Rounding the sum to the dtype of the base is what a
// merge costs, so it is measured and said.
import { noGrad, scope, tensor, type DType, type Tensor } from '@hearth/torch'
import { logits, type LanguageModel } from '../models/index.js'
import { floatWeight, linear, type Linear } from '../nn/index.js'
import { leavesOf } from '../tree/index.js'
import { attachAdapter, mapLinear, type Adapter } from './lora.js'

/**
 * A model with the adapter's changes in its weights: new tensors for the layers that it changes, the base's own for the
 * others, or floats where they are in codes. Sums are made in float32 and rounded once, to the dtype of the base.
 * @throws ConfigError as attachAdapter()
 */
export function mergeAdapter<M extends LanguageModel>(model: M, adapter: Adapter): M {
  const worn = attachAdapter(model, adapter)
  const { dtype } = leavesOf(model.weights)[0]!
  const weights = mapLinear(worn.weights, (layer): Linear => {
    if (layer.adapter === undefined && layer.base === undefined) return layer
    const { adapter, base: _codes, ...rest } = layer
    const weight = () => (adapter === undefined ? floatWeight(layer, dtype) : mergedWeight(layer, dtype))
    return { ...rest, weight: noGrad(() => scope(weight)) }
  })
  return { ...model, weights }
}

/** (out, in): the layer applied to the rows of a unit matrix, which is what it multiplies by. */
function mergedWeight(layer: Linear, dtype: DType): Tensor {
  const { a, b, scale, magnitude } = layer.adapter!
  const wide = floatWeight(layer, 'float32')
  const columns = a.to('float32').t().contiguous() // (in, r)
  const sum = linear({ weight: columns }, b.to('float32').mul(scale)).add(wide) // (out, r) (r, in) + (out, in)
  if (magnitude === undefined) return sum.to(dtype)
  const lengths = sum.square().sum([1]).sqrt() // (out)
  return sum.mul(magnitude.to('float32').div(lengths).unsqueeze(1)).to(dtype)
}

/** How far two models are apart on the same tokens. */
export interface LogitChange {
  /** Largest difference of a logit. */
  largest: number
  /** The same as a share of the largest logit of the first model. */
  relative: number
  /** Positions whose likeliest token is another. */
  changedTokens: number
  tokens: number
}

/**
 * Compares the logits of two models of one vocabulary on the same tokens.
 * @param ids at least one token; no more than the models read at once
 */
export function compareLogits(first: LanguageModel, second: LanguageModel, ids: ArrayLike<number>): LogitChange {
  return noGrad(() =>
    scope(() => {
      const input = tensor(Int32Array.from(ids), { dtype: 'int64', shape: [1, ids.length] })
      const [a, b] = [first, second].map((model) => logits(model, input).to('float32')) as [Tensor, Tensor] // (1, T, V)
      const largest = a.sub(b).abs().max().item()
      const changed = a
        .argmax({ dim: -1 })
        .ne(b.argmax({ dim: -1 }))
        .sum()
        .item()
      return { largest, relative: largest / a.abs().max().item(), changedTokens: changed, tokens: ids.length }
    }),
  )
}
