// Between the width of a model and its attention heads. B batch, T tokens, H heads, E width of a head.
import type { Tensor } from '@hearth/torch'

/** (B, T, H·E) → (B, H, T, E), a view. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  return x.unflatten(2, [heads, -1]).transpose(1, 2) // (B, T, H, E) → (B, H, T, E)
}

/** (B, H, T, E) → (B, T, H·E). */
export function mergeHeads(x: Tensor): Tensor {
  return x.transpose(1, 2).flatten({ startDim: 2 }) // (B, T, H, E) → (B, T, H·E)
}
