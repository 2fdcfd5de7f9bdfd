// The additive mask of causal attention: 0 where a query may look, -∞ where it may not.
import { full, keep, type Device, type DType, type Tensor } from '@hearth/torch'

// One square a dtype and device, as large as was asked for so far: a smaller mask is a corner of it.
const squares = new Map<string, Tensor>()

/**
 * Query i of T stands at key S - T + i, so that new tokens see the cached ones. A view of a shared table: do not write.
 * @returns (T, S)
 */
export function causalMask(queries: number, keys: number, dtype: DType, device: Device): Tensor {
  const key = `${dtype} ${device}`
  let square = squares.get(key)
  if (square === undefined || square.shape[0]! < keys) {
    square?.dispose()
    square = keep(full([keys, keys], -Infinity, { dtype, device }).triu({ diagonal: 1 }))
    squares.set(key, square)
  }
  return square.narrow(0, keys - queries, queries).narrow(1, 0, keys)
}
