// The additive mask of attention for those who need one as a tensor: 0 where a query may look, -∞ where it may not. The
// kernel (attention.ts) does without. B batch, T queries, S keys.
import { arange, cat, keep, scope, zeros, type Device, type DType, type Tensor } from '@hearth/torch'

/** Which keys a query may see besides those of a mask that is given; see AttentionOptions. */
export interface Visibility {
  causal?: boolean
  window?: number
  documents?: Tensor | undefined
}

// The layers of a pass, and the steps of a training, ask for the same one again and again.
let last: { key: string; mask: Tensor } | undefined

/**
 * Query i of T stands at key S - T + i, so that new tokens see the cached ones.
 * @returns (T, S), or (B, 1, T, S) with documents, which others may share: do not write, do not dispose; `undefined`
 * where every query sees every key
 */
export function attentionMask(
  queries: number,
  keys: number,
  { causal = false, window = 0, documents }: Visibility,
  dtype: DType,
  device: Device,
): Tensor | undefined {
  const hides = causal && queries > 1 // one query, at the last key, sees every key
  const byPosition = hides || window > 0 ? positionMask(queries, keys, { causal, window }, dtype, device) : undefined
  if (documents === undefined) return byPosition
  return scope(() => {
    const masked = additive(otherDocument(queries, documents), dtype)
    return byPosition ? masked.add(byPosition) : masked
  })
}

/** (T, S), from a cache of one. */
function positionMask(
  queries: number,
  keys: number,
  { causal, window }: { causal: boolean; window: number },
  dtype: DType,
  device: Device,
): Tensor {
  const key = `${queries} ${keys} ${causal} ${window} ${dtype} ${device}`
  if (last?.key !== key) {
    const mask = scope(() => {
      const behind = arange(keys - queries, keys, { device })
        .unsqueeze(1)
        .sub(arange(keys, undefined, { device })) // (T, S), how far a key lies behind the query
      const far = window > 0 ? behind.abs().ge(window) : undefined
      const ahead = causal ? behind.lt(0) : undefined
      return additive(far && ahead ? far.logicalOr(ahead) : (far ?? ahead)!, dtype)
    })
    last?.mask.dispose()
    last = { key, mask: keep(mask) }
  }
  return last.mask
}

/** (B, 1, T, S): true where query and key belong to different documents. */
function otherDocument(queries: number, documents: Tensor): Tensor {
  const [B, S] = documents.shape as [number, number]
  const numbers = documents.to('int64')
  const changes = numbers.narrow(1, 1, S - 1).ne(numbers.narrow(1, 0, S - 1)) // (B, S - 1)
  const first = zeros([B, 1], { dtype: 'int64', device: documents.device })
  const document = cat([first, changes.cumsum(1)], { dim: 1 }) // (B, S), 0, 1, … in the order of the text
  return document
    .narrow(1, S - queries, queries)
    .unsqueeze(2)
    .ne(document.unsqueeze(1))
    .unsqueeze(1)
}

const additive = (hidden: Tensor, dtype: DType): Tensor =>
  zeros(hidden.shape, { dtype, device: hidden.device }).maskedFill(hidden, -Infinity)
