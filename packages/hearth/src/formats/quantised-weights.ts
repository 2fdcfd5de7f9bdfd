// The weights of a source with the linear layers of its blocks in codes, each put into them as it is read: what is in memory
// beside the result is one tensor, and pages of files that are given back.
import { keep, noGrad, scope, type Tensor } from '@hearth/torch'
import { loadWeights, type LoadOptions } from '../models/index.js'
import { quantiseBase, type BaseCodes, type BaseFormat } from '../nn/index.js'
import { weightsOf, type ModelSource } from './source.js'

/** Bytes of files that may stay in memory. */
const MAPPED = 128 * 2 ** 20

/**
 * @throws FormatError as loadWeights(), before anything is read
 */
export function quantisedWeights(source: ModelSource, format: BaseFormat, options: LoadOptions): unknown {
  const { family, config, tensors } = source
  weightsOf(source)
  const codes = new Map<Tensor, BaseCodes>()
  let mapped = 0
  const replace = (path: string, stored: Tensor): Tensor | undefined => {
    if (mapped > MAPPED) {
      source.releasePages()
      mapped = 0
    }
    mapped += stored.nbytes
    if (!path.startsWith('blocks.') || stored.shape.length !== 2) return undefined
    const { weight, base } = noGrad(() => quantiseBase(stored, format))
    codes.set(keep(weight), { ...base, scales: keep(base.scales), nested: keep(base.nested) })
    return weight
  }
  const weights = scope(() => loadWeights(family, config, tensors, { ...options, replace }))
  source.releasePages()
  return withCodes(weights, codes)
}

/** The same tree, with what belongs to the codes beside them. */
function withCodes(tree: unknown, codes: ReadonlyMap<Tensor, BaseCodes>): unknown {
  if (Array.isArray(tree)) return tree.map((node: unknown) => withCodes(node, codes))
  if (typeof tree !== 'object' || tree === null || Object.getPrototypeOf(tree) !== Object.prototype) return tree
  const { weight } = tree as { weight?: Tensor }
  const base = weight && codes.get(weight)
  if (base !== undefined) return { ...tree, base }
  return Object.fromEntries(Object.entries(tree).map(([key, node]: [string, unknown]) => [key, withCodes(node, codes)]))
}
