// An adapter made part of the weights: W + s B A, or DoRA's rescaled rows; and how much that changes what a model says.
// Rounding the sum to the dtype of the base is what a merge costs, so it is measured and said.
import { noGrad, scope, tensor, type Tensor } from '@hearth/torch'
import { logits, type LanguageModel } from '../models/index.js'
import { linear, type Linear } from '../nn/index.js'
import { attachAdapter, mapLinear, type Adapter } from './lora.js'

/**
 * A model with the adapter's changes in its weights: new tensors for the layers that it changes, the base's own for the
 * others. Sums are made in float32 and rounded once, to the dtype of the base.
 * @throws ConfigError as attachAdapter()
 */
export function mergeAdapter<M extends LanguageModel>(model: M, adapter: Adapter): M {
  const worn = attachAdapter(model, adapter)
  const weights = mapLinear(worn.weights, (layer): Linear => {
    if (layer.adapter === undefined) return layer
    const { adapter: _merged, ...rest } = layer
    return { ...rest, weight: noGrad(() => scope(() => mergedWeight(layer))) }
  })
  return { ...model, weights }
}

/** (out, in): the layer applied to the rows of a unit matrix, which is what it multiplies by. */
function mergedWeight({ weight, adapter }: Linear): Tensor {
  const { a, b, scale, magnitude } = adapter!
  const wide = weight.to('float32')
  const columns = a.to('float32').t().contiguous() // (in, r)
  const sum = linear({ weight: columns }, b.to('float32').mul(scale)).add(wide) // (out, r) (r, in) + (out, in)
  if (magnitude === undefined) return sum.to(weight.dtype)
  const lengths = sum.square().sum([1]).sqrt() // (out)
  return sum.mul(magnitude.to('float32').div(lengths).unsqueeze(1)).to(weight.dtype)
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
