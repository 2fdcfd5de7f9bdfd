// Positions within packed documents, for learned position tables: each document counts from 0, as it would alone.
// Rotary positions need none of this: what turns is the distance between two tokens. B batch, T tokens.
import { arange, call, cat, ones, scope, type Tensor } from '@hearth/torch'

/**
 * The place of each token within its document.
 * @param documents (B, T) integers: neighbours with the same number are one document
 * @returns (B, T) int64
 */
export function documentPositions(documents: Tensor): Tensor {
  const [B, T] = documents.shape as [number, number]
  return scope(() => {
    const { device } = documents
    const changes = documents.narrow(1, 1, T - 1).ne(documents.narrow(1, 0, T - 1)) // (B, T - 1)
    const begins = cat([ones([B, 1], { dtype: 'bool', device }), changes], { dim: 1 }) // (B, T)
    const places = arange(T, undefined, { dtype: 'int64', device }) // (T)
    const [start] = call('aten::cummax', places.mul(begins), 1) as [Tensor, Tensor] // (B, T), where each document begins
    return places.sub(start)
  })
}
