// The weights of a source as a tree in which each is read when the model's maths reaches for it, and freed with what the
// block computed: a model can run that does not fit into memory.
import { noGrad, scope, Tensor, empty } from '@hearth/torch'
import { fileName, type StoredTensor } from '../../models/index.js'
import { weightsOf, type ModelSource } from '../source.js'

/** Pages of files that may stay in memory at once. */
const MAPPED = 256 * 2 ** 20

/** The tree that the family's maths takes, float32. It is valid while the source is open. */
export function streamedWeights(source: ModelSource): unknown {
  const { family, config } = source
  const stored = weightsOf(source)
  const paths = new Map<Tensor, string>()
  let mapped = 0
  const read = (path: string): Tensor => {
    const { name, transpose } = fileName(family.names, path)
    const one = stored.get(name)!
    mapped += one.shape.reduce((product, size) => product * size, 4)
    if (mapped > MAPPED) {
      source.releasePages()
      mapped = 0
    }
    return noGrad(() => scope(() => numbersOf(one, transpose)))
  }
  const tree = family.build(config, {
    tensor: (path) => {
      const place = empty([0])
      paths.set(place, path)
      return place
    },
  })
  return withGetters(tree, (place) => read(paths.get(place)!))
}

function numbersOf(stored: StoredTensor, transpose: boolean): Tensor {
  const numbers = stored.read()
  return (transpose ? numbers.t() : numbers).to('float32').contiguous()
}

/** The same tree, whose leaves are read anew at each use. */
function withGetters(value: unknown, read: (leaf: Tensor) => Tensor): unknown {
  if (Array.isArray(value)) return value.map((one) => withGetters(one, read))
  const result = {}
  for (const [key, one] of Object.entries(value as Record<string, unknown>)) {
    const get = one instanceof Tensor ? () => read(one) : undefined
    if (get !== undefined) Object.defineProperty(result, key, { enumerable: true, get })
    else Object.defineProperty(result, key, { enumerable: true, value: withGetters(one, read) })
  }
  return result
}
