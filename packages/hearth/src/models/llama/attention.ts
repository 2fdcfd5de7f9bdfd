// LLaMA's attention (Touvron et al. 2023), with what its descendants add to it as data in the configuration: grouped keys
// and values, windows, norms of queries and keys. Mixtral uses it too.
// B batch, T new tokens, D width, H heads, K key/value heads, E width of a head.
import type { Tensor } from '@hearth/torch'
import { linear, mergeHeads, rmsNorm, splitHeads } from '../../nn/index.js'
import { causalAttention, type RotaryContext } from '../decoder.js'
import type { LlamaConfig } from './config.js'
import type { LlamaAttention } from './weights.js'

/** What the attention adds to the residual stream, (B, T, D) of x (B, T, D). */
export function selfAttention(w: LlamaAttention, config: LlamaConfig, x: Tensor, context: RotaryContext): Tensor {
  const norm = (part: Tensor, weights: LlamaAttention['queryNorm']) =>
    weights === undefined ? part : rmsNorm(weights, part, config.normEpsilon) // (B, H, T, E), each head by itself
  const q = norm(splitHeads(linear(w.query, x), config.heads), w.queryNorm) // (B, H, T, E)
  const k = norm(splitHeads(linear(w.key, x), config.keyValueHeads), w.keyNorm) // (B, K, T, E)
  const v = splitHeads(linear(w.value, x), config.keyValueHeads) // (B, K, T, E)
  const attended = causalAttention(q, k, v, context, {
    window: config.windows[context.layer] ?? 0,
    dropout: context.dropout('attention', config.attentionDropout),
  }) // (B, H, T, E)
  return linear(w.out, mergeHeads(attended)) // (B, T, H·E) → (B, T, D)
}
