// Where a model's weights come from. A family states its shapes once, in build(config, source): the source fills them
// with random numbers, counts them, or takes them from files (named-weights.ts).
import { createHash } from 'node:crypto'
import { empty, Generator, ones, scope, zeros, type DType, type Tensor } from '@hearth/torch'

/** How a tensor starts when it is made from scratch, as data. */
export type Init = { kind: 'zeros' } | { kind: 'ones' } | { kind: 'normal'; std: number }

export interface WeightSource {
  /**
   * The weight of that place in the tree.
   * @param path dotted, `blocks.0.attention.out.weight`
   */
  tensor(path: string, shape: readonly number[], init: Init): Tensor
}

export interface InitialiseOptions {
  /** An integer from 0 to 2^53 - 1. */
  seed: number
  /** float32 when it is not given. Numbers are drawn in float32 and rounded, so a seed means one model in any dtype. */
  dtype?: DType
}

/** 48 bits that depend on nothing but the two: adding a tensor to a model changes no other. */
function seedOf(seed: number, path: string): number {
  return createHash('sha256').update(`${seed}:${path}`).digest().readUIntBE(0, 6)
}

/** Weights from scratch. */
export function initialise({ seed, dtype = 'float32' }: InitialiseOptions): WeightSource {
  const draw = (path: string, shape: readonly number[], std: number): Tensor =>
    scope(() => {
      const generator = new Generator(seedOf(seed, path))
      return empty(shape, { dtype: 'float32' }).normal_({ mean: 0, std, generator }).to(dtype)
    })
  return {
    tensor: (path, shape, init) => {
      if (init.kind === 'normal') return draw(path, shape, init.std)
      return init.kind === 'ones' ? ones(shape, { dtype }) : zeros(shape, { dtype })
    },
  }
}

/** Elements of all weights that `build` asks for and `counts` accepts; nothing is allocated, so 175B costs nothing. */
export function countWeights(
  build: (source: WeightSource) => unknown,
  counts: (path: string) => boolean = () => true,
): number {
  const nothing = empty([0])
  let total = 0
  build({
    tensor: (path, shape) => {
      if (counts(path)) total += shape.reduce((product, size) => product * size, 1)
      return nothing
    },
  })
  nothing.dispose()
  return total
}
