// The memory that a rank needs, before it is started: a pure function of shapes and settings, as in the tables of the ZeRO
// paper (Rajbhandari et al. 2020, arXiv:1910.02054), with what this trainer holds at its fullest moment.
// Not here: measuring it (bench/sharding.bench.ts compares the two).
import { elementsOf, shardLayout, unitsOf, type Shapes } from './layout.js'
import { reducesEachSlot, type Offload, type Sharding } from './stages.js'

export interface MemoryOptions {
  /** Of every weight by path. */
  shapes: Shapes
  ranks: number
  sharding: Sharding
  offload: Offload
  /** Bytes of a number in the arithmetic of the step: 4, or 2 for bfloat16. */
  bytes: 2 | 4
  /** float32 numbers that the optimizer keeps of each weight: 2 for AdamW. */
  moments: number
  slots: number
  /** Tokens of a slot. */
  tokens: number
  width: number
}

/** Bytes. */
export interface MemoryPerWorker {
  /** Master weights and optimizer state in two banks; with offload to disk, the part of it that is mapped at once. */
  state: number
  /** What is held besides, at the fullest moment of a step. */
  step: number
  total: number
}

const FLOAT = 4
const BANKS = 2
/** Bytes of a block's activations for each token and channel, for each byte of a number: 34 at 2 (Korthikanti et al. 2022). */
const BLOCK_ACTIVATIONS = 17

/**
 * Peak memory of one rank, libraries and data aside.
 * @example
 * memoryPerWorker({ shapes, ranks: 4, sharding: 'everything', offload: 'memory', bytes: 4, moments: 2, slots: 4, tokens: 2048, width: 768 })
 */
export function memoryPerWorker(options: MemoryOptions): MemoryPerWorker {
  const { shapes, ranks, sharding, offload, moments } = options
  const layout = shardLayout(shapes, sharding === 'replicate' ? 1 : ranks)
  const shards = unitsOf(layout).map(({ shardLength }) => shardLength)
  const mapped = offload === 'disk' ? Math.max(...shards) : total(shards)
  const state = BANKS * FLOAT * (1 + moments) * mapped
  const sizes = sizesOf(options, layout)
  const step = reducesEachSlot(sharding) ? inRounds(options, sizes) : atOnce(options, sizes)
  return { state, step, total: state + step }
}

interface Sizes {
  /** Elements of all weights, padded as they are gathered. */
  all: number
  outer: number
  block: number
  /** Of the largest weight around the blocks where it is the head too: its gradients are added up. */
  tied: number
  /** Of the weights around the blocks that have a gradient before the blocks do: the head, or the embedding that is the head too. */
  late: number
  /** Of this rank's shards. */
  shards: number
  /** Of its shard of the weights around the blocks. */
  outerShard: number
  /** Bytes. */
  activations: number
}

function sizesOf({ shapes, bytes, tokens, width }: MemoryOptions, layout: ReturnType<typeof shardLayout>): Sizes {
  const padded = ({ shardLength }: { shardLength: number }) => shardLength * layout.shards
  const head = Object.keys(shapes).filter((path) => path.startsWith('head.'))
  const around = layout.outer.shards.flat().map(({ path }) => elementsOf(shapes[path]!))
  return {
    all: total(unitsOf(layout).map(padded)),
    outer: padded(layout.outer),
    block: Math.max(0, ...layout.blocks.map(padded)),
    tied: head.length > 0 ? 0 : Math.max(0, ...around),
    late: head.length > 0 ? total(head.map((path) => elementsOf(shapes[path]!))) : padded(layout.outer),
    outerShard: layout.outer.shardLength,
    shards: total(unitsOf(layout).map(({ shardLength }) => shardLength)),
    activations: bytes * tokens * width * (layout.blocks.length + 1 + BLOCK_ACTIVATIONS),
  }
}

/** Each rank sums its slots over whole gradients, then all reduce unit by unit. */
function atOnce({ sharding, offload, bytes, slots, ranks }: MemoryOptions, sizes: Sizes): number {
  const isMapped = sharding === 'replicate' && offload === 'memory' && bytes === FLOAT
  const weights = isMapped ? 0 : bytes * sizes.all
  // Those of the slot at hand, in both dtypes, and the partial sums of slots before it.
  const own = FLOAT + (bytes === FLOAT ? 0 : bytes) + FLOAT * Math.floor(Math.log2(slots / ranks))
  const computing = weights + own * sizes.all + sizes.activations
  const reducing = FLOAT * sizes.all + FLOAT * sizes.outer
  return Math.max(computing, reducing)
}

/** Weights are gathered, and gradients reduced, block by block. */
function inRounds({ sharding, bytes, slots, ranks }: MemoryOptions, sizes: Sizes): number {
  const { all, outer, block, tied, late, shards, outerShard, activations } = sizes
  const partial = FLOAT * shards * (1 + Math.floor(Math.log2(slots / ranks)))
  // Of the only slot, what lies around the blocks is summed when they are done.
  const notYet = slots === ranks ? FLOAT * outerShard : 0
  const gathered = sharding === 'gradients' ? bytes * (all - outer) : 0
  const streamed = sharding === 'gradients' ? 0 : 2 * bytes * block
  // Weights and gradients around the blocks, and a block's gradients: as they came, flat, and as others send them.
  const blocks = bytes * (outer + late) - notYet + streamed + bytes * block + 2 * FLOAT * block
  const embedding = bytes * (2 * outer + tied) + 2 * FLOAT * block
  const around = (sharding === 'gradients' ? bytes * outer : 0) + 2 * FLOAT * outer
  return gathered + partial + activations + Math.max(blocks, embedding, around)
}

const total = (numbers: readonly number[]) => numbers.reduce((sum, each) => sum + each, 0)
