// How units travel between ranks: weights are gathered from all shards, gradients summed over the ranks in the fixed tree,
// of which each keeps its shard. Not here: when (sharded-trainer.ts, block-pass.ts).
import { cat, keep, noGrad, scope, zeros, type DType, type ProcessGroup, type Tensor } from '@hearth/torch'
import type { Named } from '../gradients.js'
import type { Piece, ShardLayout, Unit } from './layout.js'
import type { ShardState } from './shard-state.js'

/** A weight's pieces by path, each with its shard, in the order of its elements. */
function piecesByPath(unit: Unit): Map<string, { shard: number; piece: Piece }[]> {
  const all = new Map<string, { shard: number; piece: Piece }[]>()
  for (const [shard, pieces] of unit.shards.entries())
    for (const piece of pieces) all.set(piece.path, [...(all.get(piece.path) ?? []), { shard, piece }])
  return all
}

const lengthOf = ({ start, end }: Piece) => end - start

/**
 * The whole weights of a unit from the shards of all ranks: views of them where a weight lies in one shard.
 * @param shards one of shape (shardLength) for each rank; given up
 */
export function assemble(unit: Unit, shards: readonly Tensor[], layout: ShardLayout): Named {
  const whole = noGrad(() =>
    scope(() => {
      const parts = ([path, pieces]: [string, { shard: number; piece: Piece }[]]) => {
        const views = pieces.map(({ shard, piece }) => shards[shard]!.narrow(0, piece.offset, lengthOf(piece)))
        const flat = views.length === 1 ? views[0]! : cat(views)
        return [path, keep(flat.view(layout.shapes[path]!).detach())] as const
      }
      return Object.fromEntries([...piecesByPath(unit)].map(parts))
    }),
  )
  shards.forEach((shard) => shard.dispose())
  return whole
}

/** Pieces side by side as in their shard, (shardLength). */
function pack(unit: Unit, pieces: readonly Piece[], tensors: Named, dtype: DType): Tensor {
  const packed = zeros([unit.shardLength], { dtype })
  for (const piece of pieces) packed.narrow(0, piece.offset, lengthOf(piece)).copy_(tensors[piece.path]!.reshape([-1]))
  return packed
}

/**
 * The gradients of a unit as one tensor, shard after shard: (shards · shardLength) in float32.
 * @param gradients of whole weights; disposed of
 */
export function flatten(unit: Unit, gradients: Named): Tensor {
  const flat = noGrad(() =>
    scope(() => {
      const flat = keep(zeros([unit.shards.length * unit.shardLength]))
      unit.shards.forEach((pieces, shard) => {
        for (const { path, start, end, offset } of pieces)
          flat
            .narrow(0, shard * unit.shardLength + offset, end - start)
            .copy_(gradients[path]!.reshape([-1]).narrow(0, start, end - start))
      })
      return flat
    }),
  )
  for (const path of piecesByPath(unit).keys()) gradients[path]!.dispose()
  return flat
}

/** The pieces of a shard of gradients, each with the shape of its piece of the weight. */
export function piecesOf(unit: Unit, shard: Tensor, state: ShardState, like: Named): Named {
  const view = (piece: Piece) => shard.narrow(0, piece.offset, lengthOf(piece)).view(like[piece.path]!.shape)
  return Object.fromEntries(state.piecesOf(unit).map((piece) => [piece.path, view(piece)]))
}

export class Exchange {
  readonly #group: ProcessGroup
  readonly #state: ShardState
  readonly #dtype: DType

  /** @param dtype in which weights travel and are used */
  constructor(group: ProcessGroup, state: ShardState, dtype: DType) {
    this.#group = group
    this.#state = state
    this.#dtype = dtype
  }

  /** The whole weights of a unit as leaves of autograd, in the arithmetic of the step; the caller disposes of them. */
  async gather(unit: Unit): Promise<Named> {
    const { layout } = this.#state
    const whole = layout.shards === 1 ? this.#own(unit) : await this.#gathered(unit)
    Object.values(whole).forEach((weight) => weight.setRequiresGrad(true))
    return whole
  }

  /**
   * The sum of all ranks' gradients of a unit, in the order of the fixed tree: this rank's shard of it, (shardLength).
   * @param flat of flatten(); given up
   */
  async reduce(flat: Tensor): Promise<Tensor> {
    if (this.#state.layout.shards > 1) {
      const shard = await this.#group.reduceScatter(flat)
      flat.dispose()
      return shard
    }
    if (this.#group.size > 1) await this.#group.sumInOrder(flat)
    return flat
  }

  /**
   * The whole state of a unit at one rank, one kind of tensor after the other, so that no more than one is there at once.
   * @param kinds of moments, the same at all ranks
   * @yields by its name in checkpoints; nothing at the other ranks
   */
  async *collect(unit: Unit, kinds: readonly string[], root: number): AsyncGenerator<Named, void, void> {
    for (const kind of [undefined, ...kinds]) {
      const prefix = kind === undefined ? 'weights.' : `optimizer.${kind}.`
      const whole = await this.#collectKind(unit, kind, root)
      const named = Object.entries(whole ?? {}).map(([path, tensor]) => [prefix + path, tensor] as const)
      try {
        if (this.#group.rank === root) yield Object.fromEntries(named)
      } finally {
        named.forEach(([, tensor]) => tensor.dispose())
      }
    }
  }

  async #collectKind(unit: Unit, kind: string | undefined, root: number): Promise<Named | undefined> {
    const { layout } = this.#state
    const mine = this.#state.read(unit, ({ weights, moments }) => {
      const tensors = kind === undefined ? weights : ofKind(moments, kind)
      if (layout.shards === 1)
        return Object.fromEntries(Object.entries(tensors).map(([path, t]) => [path, keep(t.clone())]))
      return { packed: keep(pack(unit, this.#state.piecesOf(unit), tensors, 'float32')) }
    })
    if (layout.shards === 1) return mine
    const shards = await this.#group.gather(mine.packed!, root)
    mine.packed!.dispose()
    return shards && assemble(unit, shards, layout)
  }

  #own(unit: Unit): Named {
    // What is mapped for a moment only must be copied.
    const copy = (weight: Tensor) => (this.#state.offload === 'disk' ? weight.clone() : weight.detach())
    const use = (weight: Tensor) => keep(weight.dtype === this.#dtype ? copy(weight) : weight.to(this.#dtype))
    return this.#state.read(unit, ({ weights }) =>
      Object.fromEntries(Object.entries(weights).map(([path, weight]) => [path, use(weight)])),
    )
  }

  async #gathered(unit: Unit): Promise<Named> {
    const pieces = this.#state.piecesOf(unit)
    const packed = this.#state.read(unit, ({ weights }) => keep(pack(unit, pieces, weights, this.#dtype)))
    const shards = await this.#group.allGather(packed)
    packed.dispose()
    return assemble(unit, shards, this.#state.layout)
  }
}

const kindOf = (name: string) => name.slice(0, name.indexOf('.'))
const ofKind = (moments: Named, kind: string): Named =>
  Object.fromEntries(
    Object.entries(moments)
      .filter(([name]) => kindOf(name) === kind)
      .map(([name, tensor]) => [name.slice(kind.length + 1), tensor]),
  )
