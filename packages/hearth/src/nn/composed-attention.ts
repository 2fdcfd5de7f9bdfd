// Attention of libtorch's operators: its fused one where there is one (libtorch 2, the best form on GPUs), else products
// and a softmax with the whole matrix of scores. For masks that are tensors, and devices without our kernel (attention.ts).
// B batch, H query heads, K key/value heads (K divides H), G = H / K, T queries, S keys, E width of a head.
import { baddbmm, call, scope, zeros, type Tensor } from '@hearth/torch'
import { attentionMask, type Visibility } from './attention-mask.js'
import { dropout, type Dropout } from './dropout.js'
import { roundedOnce } from './product-dtype.js'
import { applyRotary, type RotaryTables } from './rotary.js'

export interface ComposedOptions extends Visibility {
  mask?: Tensor
  scale: number
  rotary?: RotaryTables | undefined
  dropout?: Dropout | undefined
}

/** attention() of attention.ts, with the same arguments. */
export function composedAttention(q: Tensor, k: Tensor, v: Tensor, options: ComposedOptions): Tensor {
  const [queries, keys] = [q.shape[2]!, k.shape[2]!]
  const { causal = false, window = 0, documents, rotary, scale } = options
  return scope(() => {
    const [turnedQ, turnedK] = rotary ? [applyRotary(q, lastOf(rotary, queries)), applyRotary(k, rotary)] : [q, k]
    const given = options.mask?.to(q.dtype)
    // The fused operator's own dropout draws from libtorch's global generator: not a function of a seed.
    const fused = options.dropout === undefined && (fusedKernel ??= hasFusedKernel())
    // The fused operator's own causality lets the first query stand at the first key.
    const causalByOperator = fused && causal && queries === keys && !given && window === 0 && !documents
    const own = causalByOperator
      ? undefined
      : attentionMask(queries, keys, { causal, window, documents }, q.dtype, q.device)
    const mask = own && given ? own.add(given) : (own ?? given)
    if (fused) return callFused(turnedQ, turnedK, v, { scale, causal: causalByOperator, mask })
    return composed(turnedQ, turnedK, v, { scale, mask, dropout: options.dropout })
  })
}

/** The queries stand at the last positions. */
function lastOf({ cos, sin }: RotaryTables, queries: number): RotaryTables {
  const last = (x: Tensor) => x.narrow(0, x.shape[0]! - queries, queries)
  return { cos: last(cos), sin: last(sin) }
}

interface Scores {
  scale: number
  mask: Tensor | undefined
  dropout?: Dropout | undefined
}

/** The queries of a group stand under each other, so that keys and values are never repeated. */
function composed(q: Tensor, k: Tensor, v: Tensor, { scale, mask, dropout: forget }: Scores): Tensor {
  const [B, H, T, E] = q.shape as [number, number, number, number]
  const [, K, S] = k.shape as [number, number, number, number]
  const G = H / K
  const queries = q.reshape([B * K, G * T, E])
  const keys = k.reshape([B * K, S, E]).transpose(1, 2) // (B·K, E, S)
  const hidden = mask && groupedMask(mask, [B, H, T, S], K)
  const scores = roundedOnce(q, (widen) =>
    hidden === undefined
      ? widen(queries).mul(scale).bmm(widen(keys))
      : baddbmm(widen(hidden), widen(queries), widen(keys), { alpha: scale }),
  ) // (B·K, G·T, S)
  const shares = dropout(scores.softmax(-1), forget) // libtorch sums a 16-bit softmax in float32
  const values = v.reshape([B * K, S, E])
  return roundedOnce(q, (widen) => widen(shares).bmm(widen(values))).view([B, H, T, E])
}

/** A mask over (B, H, T, S), in the form that broadcasts to scores of (B·K, G·T, S). */
function groupedMask(mask: Tensor, [B, H, T, S]: readonly [number, number, number, number], K: number): Tensor {
  const G = H / K
  if (mask.shape.length > 2) return mask.expand([B, H, T, S]).reshape([B * K, G * T, S])
  return G === 1 ? mask : mask.expand([G, T, S]).reshape([G * T, S])
}

const FUSED = 'aten::scaled_dot_product_attention'
let fusedKernel: boolean | undefined

/** libtorch 2 has one operator for all of it, which never writes the scores to memory. */
function hasFusedKernel(): boolean {
  try {
    const one = () => zeros([1, 1, 1, 1])
    scope(() => void callFused(one(), one(), one(), { scale: 1, mask: undefined, causal: false }))
    return true
  } catch {
    return false
  }
}

function callFused(q: Tensor, k: Tensor, v: Tensor, { scale, mask, causal }: Scores & { causal: boolean }): Tensor {
  const [B, H, , E] = q.shape as [number, number, number, number]
  const [, K, S] = k.shape as [number, number, number, number]
  // The operator wants as many key heads as query heads.
  const each = (x: Tensor) =>
    K === H
      ? x
      : x
          .unsqueeze(2)
          .expand([B, K, H / K, S, E])
          .reshape([B, H, S, E])
  return call(FUSED, q, each(k), each(v), mask, 0, causal, scale) as Tensor
}
