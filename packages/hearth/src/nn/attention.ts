// Scaled dot-product attention (Vaswani et al. 2017) with grouped keys and values (Ainslie et al. 2023).
// Not here: projections, positions, the cache; a family puts those together.
// B batch, H query heads, K key/value heads (K divides H), G = H / K, T queries, S keys, E width of a head.
import { baddbmm, call, scope, zeros, type Tensor } from '@hearth/torch'
import { causalMask } from './causal-mask.js'
import { roundedOnce } from './product-dtype.js'

export interface AttentionOptions {
  /** A query sees the keys up to its own position; the last query stands at the last key. */
  causal?: boolean
  /** Added to the scaled scores, broadcast to (B, H, T, S): 0 where a query may look, -Infinity where it may not. */
  mask?: Tensor
  /** Of the scores; 1/√E when it is not given. */
  scale?: number
}

/**
 * softmax(scale · q kᵀ + mask) v. Query head h reads key head floor(h / G).
 * @param q (B, H, T, E)
 * @param k (B, K, S, E)
 * @param v (B, K, S, E)
 * @returns (B, H, T, E). A row whose keys are all masked is NaN.
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { causal = false, scale = 1 / Math.sqrt(q.shape[3]!) } = options
  const [queries, keys] = [q.shape[2]!, k.shape[2]!]
  const hides = causal && queries > 1 // one query, at the last key, sees every key
  return scope(() => {
    const triangle = hides ? causalMask(queries, keys, q.dtype, q.device) : undefined
    const given = options.mask?.to(q.dtype)
    if ((fusedKernel ??= hasFusedKernel())) {
      // The kernel's own causality lets the first query stand at the first key.
      const causalByKernel = hides && given === undefined && queries === keys
      return callFused(q, k, v, {
        scale,
        causal: causalByKernel,
        mask: causalByKernel ? undefined : sum(triangle, given),
      })
    }
    return composed(q, k, v, { scale, mask: sum(triangle, given) })
  })
}

interface Scores {
  scale: number
  mask: Tensor | undefined
}

const sum = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined => (a && b ? a.add(b) : (a ?? b))

/** The queries of a group stand under each other, so that keys and values are never repeated. */
function composed(q: Tensor, k: Tensor, v: Tensor, { scale, mask }: Scores): Tensor {
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
  const shares = scores.softmax(-1) // libtorch sums a 16-bit softmax in float32
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
  // The kernel wants as many key heads as query heads.
  const each = (x: Tensor) =>
    K === H
      ? x
      : x
          .unsqueeze(2)
          .expand([B, K, H / K, S, E])
          .reshape([B, H, S, E])
  return call(FUSED, q, each(k), each(v), mask, 0, causal, scale) as Tensor
}
