// One pass of a model over new tokens of many texts, and the logits of those that are asked for. N tokens, D width, V
// vocabulary.
import { noGrad, scope, tensor } from '@hearth/torch'
import type { LanguageModel } from '../../models/index.js'
import { linear, ROWS_AS_ALONE, type PagedCache } from '../../nn/index.js'
import { leavesOf } from '../../tree/index.js'
import { idsTensor } from '../generate.js'
import type { PagedText } from './paged-text.js'

/** New tokens of one text. */
export interface PassPart {
  text: PagedText
  ids: readonly number[]
  /** Which of the ids' logits are wanted: those from this index on. */
  wantedFrom: number
}

/**
 * Reads the parts in one pass; the texts have pages for them. `read` of the texts stays.
 * @param use is given each logits row that is wanted, in order: valid until it returns
 */
export function readBatch<Part extends PassPart>(
  { family, weights, config }: LanguageModel,
  cache: PagedCache,
  parts: readonly Part[],
  use: (part: Part, index: number, logits: Float32Array) => void,
): void {
  noGrad(() =>
    scope(() => {
      const ids = idsTensor(
        parts.flatMap((part) => part.ids),
        leavesOf(weights)[0]!,
      )
      const reading = cache.reading(parts.map(({ text, ids }) => text.span(ids.length)))
      const hidden = family.hidden(weights, config, ids, { cache: reading }) // (1, N, D)
      const wanted = wantedRows(parts)
      // In blocks: a row's logits do not depend on how many are asked for, and not all exist at once.
      for (let first = 0; first < wanted.length; first += ROWS_AS_ALONE) {
        const block = wanted.slice(first, first + ROWS_AS_ALONE)
        scope(() => {
          const at = tensor(
            block.map(({ row }) => row),
            { dtype: 'int64', device: ids.device },
          )
          const logits = linear(family.projection(weights), hidden.indexSelect(1, at)).to({
            dtype: 'float32',
            device: 'cpu',
          }) // (1, n, V)
          const [values, size] = [logits.data() as Float32Array, logits.shape[2]!]
          block.forEach(({ part, index }, i) => use(part, index, values.subarray(i * size, (i + 1) * size)))
        })
      }
    }),
  )
}

function wantedRows<Part extends PassPart>(parts: readonly Part[]): { part: Part; index: number; row: number }[] {
  let start = 0
  return parts.flatMap((part) => {
    const first = start
    start += part.ids.length
    const count = Math.max(0, part.ids.length - part.wantedFrom)
    return Array.from({ length: count }, (_, i) => ({
      part,
      index: part.wantedFrom + i,
      row: first + part.wantedFrom + i,
    }))
  })
}
