// Which rank holds what: the weights of a model in units (each block, and what lies around the blocks), and each unit in
// one shard for each rank. A pure function of the shapes and the number of ranks. Shards are cut where the chunks of the
// gradient's norm are (optim/clipping.ts), so that a norm summed by many ranks has the bits of one summed by one.
// Not here: memory (shard-state.ts), how units travel (units.ts).
import { NORM_CHUNK } from '../../optim/index.js'

/** Shape of every weight by path, in the order of the tree. */
export type Shapes = Readonly<Record<string, readonly number[]>>

/** A run of one weight's elements, and where it lies in its shard. */
export interface Piece {
  path: string
  /** First element, and the one behind the last. */
  start: number
  end: number
  /** Elements before it in the shard. */
  offset: number
}

/** What is gathered and freed together. */
export interface Unit {
  name: string
  /** Of all its weights, without padding. */
  elements: number
  /** Elements of every shard, those without use at its end included: collectives want equal parts. */
  shardLength: number
  /** The pieces of each rank's shard, in the order of its elements. */
  shards: readonly (readonly Piece[])[]
}

export interface ShardLayout {
  shapes: Shapes
  shards: number
  /** What lies around the blocks: embeddings, the last norm, the head. */
  outer: Unit
  /** In the order in which they run. */
  blocks: readonly Unit[]
}

/** Pieces begin at whole cache lines, in bfloat16 too. */
const ALIGNMENT = 32

export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)
const aligned = (elements: number) => Math.ceil(elements / ALIGNMENT) * ALIGNMENT

/** `blocks.3.attention.out.weight` → `blocks.3`; undefined for what lies around the blocks. */
const blockOf = (path: string) => /^(.+?\.\d+)\./.exec(path)?.[1]

/**
 * @param shards how many ranks share the state; 1 where each has all of it
 * @example
 * const { outer, blocks } = shardLayout({ 'embed.weight': [64, 8], 'blocks.0.weight': [8, 8] }, 2)
 */
export function shardLayout(shapes: Shapes, shards: number): ShardLayout {
  const groups = new Map<string | undefined, string[]>([[undefined, []]])
  for (const path of Object.keys(shapes)) {
    const block = blockOf(path)
    groups.set(block, [...(groups.get(block) ?? []), path])
  }
  const unit = ([name, paths]: [string | undefined, string[]]) => layUnit(name ?? 'outer', paths, shapes, shards)
  const [outer, ...blocks] = [...groups].map(unit)
  return { shapes, shards, outer: outer!, blocks }
}

/** Cut at the chunk boundaries that are nearest to equal shares. */
function layUnit(name: string, paths: readonly string[], shapes: Shapes, count: number): Unit {
  const elements = paths.reduce((sum, path) => sum + elementsOf(shapes[path]!), 0)
  const shards: Piece[][] = Array.from({ length: count }, () => [])
  let before = 0
  for (const path of paths) {
    const size = elementsOf(shapes[path]!)
    for (let start = 0; start < size; start += NORM_CHUNK) {
      const end = Math.min(size, start + NORM_CHUNK)
      const middle = before + (start + end) / 2
      append(shards[Math.min(count - 1, Math.floor((middle / elements) * count))]!, { path, start, end })
    }
    before += size
  }
  const lengthOf = (pieces: Piece[]) =>
    aligned(Math.max(0, ...pieces.map(({ offset, start, end }) => offset + end - start)))
  return { name, elements, shards, shardLength: Math.max(...shards.map(lengthOf)) }
}

/** A chunk that follows the last one of the same weight lengthens its piece. */
function append(shard: Piece[], { path, start, end }: Omit<Piece, 'offset'>): void {
  const last = shard.at(-1)
  if (last?.path === path) last.end = end
  else shard.push({ path, start, end, offset: last ? aligned(last.offset + last.end - last.start) : 0 })
}

/** Shape of a piece on its own: that of the weight where it is all of it, else a row, or a vector where the weight is one. */
export function pieceShape({ path, start, end }: Piece, shapes: Shapes): readonly number[] {
  const shape = shapes[path]!
  if (end - start === elementsOf(shape)) return shape
  // Optimizers ask whether a weight is a vector: those have no weight decay.
  return shape.length >= 2 ? [1, end - start] : [end - start]
}

/** All units, what lies around the blocks first. */
export const unitsOf = ({ outer, blocks }: ShardLayout): Unit[] => [outer, ...blocks]
