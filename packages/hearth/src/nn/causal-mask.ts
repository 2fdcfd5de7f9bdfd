// The additive mask of causal attention: 0 where a query may look, -∞ where it may not.
import { full, keep, type Device, type DType, type Tensor } from '@hearth/torch'

// The layers of a pass, and the steps of a training, ask for the same one again and again.
let last: { key: string; mask: Tensor } | undefined

/**
 * Query i of T stands at key S - T + i, so that new tokens see the cached ones.
 * @returns (T, S), which others share: do not write, do not dispose
 */
export function causalMask(queries: number, keys: number, dtype: DType, device: Device): Tensor {
  const key = `${queries} ${keys} ${dtype} ${device}`
  if (last?.key !== key) {
    const hidden = full([queries, keys], -Infinity, { dtype, device })
    const mask = keep(hidden.triu({ diagonal: keys - queries + 1 }))
    hidden.dispose()
    last?.mask.dispose()
    last = { key, mask }
  }
  return last.mask
}
