// Scaled dot-product attention (Vaswani et al. 2017) with grouped keys and values (Ainslie et al. 2023).
// Not here: projections, the cache; a family puts those together.
// B batch, H query heads, K key/value heads (K divides H), T queries, S keys, E width of a head, R dimensions that turn.
import { call, scope, type Tensor } from '@hearth/torch'
import { composedAttention } from './composed-attention.js'
import type { Dropout } from './dropout.js'
import type { RotaryTables } from './rotary.js'

export interface AttentionOptions {
  /** A query sees the keys up to its own position; the last query stands at the last key. */
  causal?: boolean
  /** A query sees only keys nearer than this many positions, itself counted (Beltagy et al. 2020); 0 for all. */
  window?: number
  /** (B, S) integers: neighbours with the same number are one document, and a query sees only its own document. */
  documents?: Tensor | undefined
  /** Queries and keys are turned first, key s by row s of these tables (S, R). */
  rotary?: RotaryTables | undefined
  /** Added to the scaled scores, broadcast to (B, H, T, S): 0 where a query may look, -Infinity where it may not. */
  mask?: Tensor
  /** Of the scores; 1/√E when it is not given. */
  scale?: number | undefined
  /** Of the shares after the softmax; then the matrix of scores is made. */
  dropout?: Dropout | undefined
}

/**
 * softmax(scale · q kᵀ + mask) v. Query head h reads key head floor(h · K / H). On a CPU, without `mask` and `dropout`, the scores are
 * made tile by tile and never stored, so memory is linear in T and S (Dao 2023).
 * @param q (B, H, T, E)
 * @param k (B, K, S, E)
 * @param v (B, K, S, E)
 * @returns (B, H, T, E). A row whose keys are all masked is NaN.
 * @throws TorchError when the shapes do not fit
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { causal = false, window = 0, documents, rotary, mask, scale = 1 / Math.sqrt(q.shape[3]!) } = options
  if (mask || options.dropout || q.device !== 'cpu' || fewAmongMany(q, k))
    return composedAttention(q, k, v, { ...options, scale })
  return scope(() => {
    const results = call('hearth::attention', q, k, v, scale, causal, window, documents, rotary?.cos, rotary?.sin)
    return (results as Tensor[])[0]!
  })
}

/** A few new tokens after many in a cache: packing all keys for the tiles would cost more than the products. */
const fewAmongMany = (q: Tensor, k: Tensor): boolean => q.shape[2]! < 16 && 16 * q.shape[2]! < k.shape[2]!
