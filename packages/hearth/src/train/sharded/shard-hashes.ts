// Whether the shards of all ranks are still what the last step wrote: each rank hashes its own when a step is done, and once
// more before the next one changes anything. The state before it is in the other bank, so the step can be done again.
// Not here: how a run goes back when that does not help (sharded-session.ts).
import type { Hashes } from '../bank-hashes.js'
import { changedIn, isHashed, Soundness, StateChanged, type StateHashesOptions } from '../state-hashes.js'
import type { RankCommand } from './rank-program.js'

export interface ShardHashesOptions extends StateHashesOptions {
  /** Has all ranks do something; gives their answers. */
  order: (command: RankCommand) => Promise<unknown[]>
}

export class ShardHashes {
  readonly #options: ShardHashesOptions
  readonly #soundness = new Soundness()
  #known: readonly Hashes[] | undefined

  constructor(options: ShardHashesOptions) {
    this.#options = options
  }

  /** What the shards hashed to when the last step had written them, by rank; undefined where they were not hashed. */
  get known(): readonly Hashes[] | undefined {
    return this.#known
  }

  isDue(step: number): boolean {
    return isHashed(step, this.#options)
  }

  note(known: readonly Hashes[] | undefined): void {
    this.#known = known
  }

  /** @throws StateChanged where memory has changed what the last step wrote */
  async check(step: number): Promise<void> {
    if (this.#known === undefined) return
    const changed = await this.#changedSince(step, this.#known)
    if (changed.length > 0) throw new StateChanged(changed)
  }

  /**
   * Does a step once more, from the state before it.
   * @param commit makes it part of the run
   * @returns whether that gives what was written the first time
   * @throws HearthError when the same steps fail again and again
   */
  async again(step: number, batch: number, { tensors }: StateChanged, commit: () => Promise<void>): Promise<boolean> {
    this.#soundness.doubt(step, tensors)
    const { order } = this.#options
    const known = this.#known!
    await order({ kind: 'back', step: step - 1 })
    await order({ kind: 'attempt', step: step - 1, batch })
    await commit()
    return (await this.#changedSince(step, known)).length === 0
  }

  async #changedSince(step: number, known: readonly Hashes[]): Promise<string[]> {
    const now = (await this.#options.order({ kind: 'hash', step })) as Hashes[]
    return known.flatMap((hashes, rank) => changedIn(now[rank]!, hashes).map((name) => `${name} of rank ${rank}`))
  }
}
