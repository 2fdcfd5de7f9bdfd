// Whether two sources are one model: both run on the same tokens, and the largest difference of their logits.
import { noGrad, scope, tensor, type Tensor } from '@hearth/torch'
import type { ModelSource } from '../source.js'
import { streamedWeights } from './streamed-weights.js'

export interface Comparison {
  tokens: number
  /** The largest difference of two logits. */
  largest: number
  /** The same, as a share of the largest logit. */
  relative: number
  /** Positions whose likeliest next token is the same. */
  sameChoice: number
}

const TOKENS = 32

/** Tokens from all over the vocabulary, the same for both. */
function idsOf({ family, config }: ModelSource): Tensor {
  const { vocabularySize, contextLength } = family.shape(config)
  const ids = Array.from({ length: Math.min(TOKENS, contextLength) }, (_, i) => (1 + i * 7919) % vocabularySize)
  return tensor([ids], { dtype: 'int64' }) // (1, T)
}

function logitsOf(source: ModelSource, ids: Tensor): Tensor {
  return noGrad(() => scope(() => source.family.forward(streamedWeights(source), source.config, ids))) // (1, T, V)
}

/** Runs both, one block's weights in memory at a time. */
export function compareSources(before: ModelSource, after: ModelSource): Comparison {
  return scope(() => {
    const ids = idsOf(before)
    const [a, b] = [logitsOf(before, ids), logitsOf(after, ids)]
    const largest = a.sub(b).abs().max().item()
    const same = a
      .argmax({ dim: 2 })
      .eq(b.argmax({ dim: 2 }))
      .sum()
      .item()
    return { tokens: ids.shape[1]!, largest, relative: largest / a.abs().max().item(), sameChoice: same }
  })
}
