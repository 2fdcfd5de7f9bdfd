// Dropout (Srivastava et al. 2014). The mask is a function of a seed and the shape alone, never of what was drawn before,
// so that a block that runs again in the backward pass forgets the same elements. Which seed: models/dropout.ts.
import { empty, Generator, scope, type Tensor } from '@hearth/torch'

export interface Dropout {
  /** Share of the elements that become 0, from 0 up to but not 1; the others are divided by what is left of 1. */
  rate: number
  /** An integer from 0 to 2^53 - 1. */
  seed: number
}

/**
 * x · mask / (1 - rate), where each element of the mask is 0 with the probability `rate`; x itself without dropout.
 * @param x (...)
 * @returns (...)
 */
export function dropout(x: Tensor, options: Dropout | undefined): Tensor {
  if (options === undefined || options.rate === 0) return x
  const kept = 1 - options.rate
  return scope(() => {
    const generator = new Generator(options.seed, x.device)
    const mask = empty(x.shape, { dtype: x.dtype, device: x.device }).bernoulli_({ p: kept, generator })
    return x.mul(mask).div(kept)
  })
}
