// Log probabilities of a row of logits: of one token, and of the most likely ones.
import { topK } from '../samplers.js'
import type { GeneratedToken } from './types.js'

/**
 * @param logits (V), the model's own
 * @param count how many of the most likely tokens to name, 0 for none
 */
export function withLogprobs(logits: Float32Array, token: number, count: number): GeneratedToken {
  let largest = -Infinity
  for (const logit of logits) if (logit > largest) largest = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - largest)
  const shift = largest + Math.log(sum)
  const scored: GeneratedToken = { token, logprob: logits[token]! - shift }
  if (count === 0) return scored
  const { ids, logits: best } = topK(logits, Math.min(count, logits.length))
  return { ...scored, top: Array.from(ids, (id, i) => ({ token: id, logprob: best[i]! - shift })) }
}
