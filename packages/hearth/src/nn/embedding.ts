// Rows of a table by their number: token embeddings and learned positions.
import { call, type Tensor } from '@hearth/torch'

export interface Embedding {
  /** (rows, width) */
  weight: Tensor
}

/**
 * y = weight[ids].
 * @param ids (...) int64
 * @returns (..., width)
 * @throws TorchError when an id is not below the number of rows
 */
export function embedding({ weight }: Embedding, ids: Tensor): Tensor {
  return call('hearth::embedding', weight, ids) as Tensor
}
