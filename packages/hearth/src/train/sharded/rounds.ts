// One slot of each rank at a time, with weights gathered block by block and gradients reduced block by block: while a block
// runs, the weights of the next are on their way, and the gradients of the one before. Every rank asks for the same in the
// same order, as collectives want it. Not here: the arithmetic (block-pass.ts).
import type { Tensor } from '@hearth/torch'
import type { Named } from '../gradients.js'
import type { SlotOptions } from '../slots.js'
import {
  runSlotInBlocks,
  takeLeafGradients,
  type BlockAccess,
  type BlockPassResult,
  type Leaves,
} from './block-pass.js'
import { flatten, type Exchange } from './exchange.js'
import type { ShardLayout, Unit } from './layout.js'

export interface RoundsOptions {
  exchange: Exchange
  layout: ShardLayout
  /** Weights stay gathered until release(); otherwise each block's are freed when it has run. */
  keepsWeights: boolean
  leaves: Leaves
}

/** Told of each unit's summed gradients, this rank's shard of them: kept, the receiver's own. */
export type TakeShard = (unit: Unit, shard: Tensor) => void

const dispose = (named: Named) => Object.values(named).forEach((tensor) => tensor.dispose())

export class Rounds {
  readonly #options: RoundsOptions
  readonly #gathered = new Map<Unit, Promise<Named>>()
  #kept: Named[] = []

  constructor(options: RoundsOptions) {
    this.#options = options
  }

  async run<Batch>(
    options: SlotOptions<unknown, Batch>,
    step: number,
    slot: number,
    takeShard: TakeShard,
  ): Promise<BlockPassResult> {
    const { layout, leaves } = this.#options
    const outer = await this.#weights(layout.outer)
    const reducing = new Reducing(this.#options.exchange, takeShard)
    const access: BlockAccess = {
      begin: async (block, next) => {
        const weights = await this.#weights(layout.blocks[block]!)
        if (next !== undefined) this.#prefetch(layout.blocks[next]!)
        return weights
      },
      end: (block, weights) => this.#end(layout.blocks[block]!, weights),
      take: (block, gradients) => reducing.add(layout.blocks[block]!, gradients),
    }
    const blocks = layout.blocks.length
    const done = await runSlotInBlocks(options, { leaves, blocks, access }, step, slot)
    const gradients = takeLeafGradients(outer)
    this.#end(layout.outer, outer)
    await reducing.add(layout.outer, gradients)
    await reducing.finish()
    return done
  }

  /** Frees the weights that were kept. */
  release(): void {
    for (const weights of this.#kept.splice(0)) dispose(weights)
    this.#gathered.clear()
  }

  /** In their places. */
  async #weights(unit: Unit): Promise<Named> {
    this.#prefetch(unit)
    const weights = await this.#gathered.get(unit)!
    this.#options.leaves.use(weights)
    if (this.#options.keepsWeights && !this.#kept.includes(weights)) this.#kept.push(weights)
    return weights
  }

  #prefetch(unit: Unit): void {
    if (this.#gathered.has(unit)) return
    const weights = this.#options.exchange.gather(unit)
    // A failure is met where the weights are waited for.
    weights.catch(() => undefined)
    this.#gathered.set(unit, weights)
  }

  #end(unit: Unit, weights: Named): void {
    if (this.#options.keepsWeights) return
    this.#gathered.delete(unit)
    dispose(weights)
  }
}

/** One reduction at a time is under way, so that no more than two units' gradients are there. */
class Reducing {
  readonly #exchange: Exchange
  readonly #take: TakeShard
  #last: Promise<void> = Promise.resolve()

  constructor(exchange: Exchange, take: TakeShard) {
    this.#exchange = exchange
    this.#take = take
  }

  async add(unit: Unit, gradients: Named): Promise<void> {
    await this.#last
    const flat = flatten(unit, gradients)
    this.#last = this.#exchange.reduce(flat).then((shard) => this.#take(unit, shard))
    this.#last.catch(() => undefined)
  }

  async finish(): Promise<void> {
    await this.#last
  }
}
