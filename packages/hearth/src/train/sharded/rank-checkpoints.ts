// Durable checkpoints of a run over ranks: written from their shards by a process of its own (checkpoint-process.ts) while
// the ranks go on, one at a time. Not here: when one is due, and what ranks do meanwhile (sharded-session.ts).
import { join } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import type { Hashes } from '../bank-hashes.js'
import type { RunConfig } from '../config.js'
import type { Judge } from '../judge.js'
import type { Report } from '../run-events.js'
import { Saver, type SaverOptions } from '../saver.js'
import { metaOf } from '../session.js'
import type { ShardSaverJob, ShardSaveTask } from './checkpoint-process.js'

export interface RankCheckpointsOptions extends Pick<SaverOptions<ShardSaverJob>, 'job' | 'onLaunch' | 'onLost'> {
  config: RunConfig
  report: Report
  /** The checkpoint that the ranks began with; its step is -1 where it is to be saved anew. */
  begun: { step: number; hash: string } | undefined
}

/** The state after a step. */
export interface SavedState {
  step: number
  judge: Judge
  /** What each shard hashed to when it was written, if it was hashed. */
  hashes: readonly Hashes[] | undefined
}

export class RankCheckpoints {
  readonly #options: RankCheckpointsOptions
  readonly #saver: Saver<ShardSaveTask, ShardSaverJob>
  /** The copy that is under way. */
  #copy: { step: number; done: Promise<CheckpointError | undefined> } | undefined
  #savedStep: number
  #parent: string | null

  constructor(options: RankCheckpointsOptions) {
    this.#options = options
    this.#savedStep = options.begun?.step ?? -1
    this.#parent = options.begun?.hash ?? null
    const { job, onLaunch, onLost } = options
    const program = join('sharded', 'checkpoint-process.js')
    this.#saver = new Saver({ program, job, onLost, ...(onLaunch && { onLaunch }) })
  }

  get savedStep(): number {
    return this.#savedStep
  }

  get processes(): Saver['processes'] {
    return this.#saver.processes
  }

  /** @returns the error of a disk that refuses */
  async save(state: SavedState, { wait }: { wait: boolean }): Promise<CheckpointError | undefined> {
    const { step } = state
    if (this.#copy?.step === step) return wait ? await this.#copy.done : undefined
    if (step === this.#savedStep) return undefined
    await this.#copy?.done
    const done = this.#write(state).finally(() => (this.#copy = undefined))
    this.#copy = { step, done }
    if (wait) return await done
    const { report } = this.#options
    void done.then((refused) => refused && report({ kind: 'warning', message: refused.message }))
    return undefined
  }

  /** Resolves when no state is copied any more, but perhaps that of one step. */
  async isCopied(otherThan?: number): Promise<void> {
    if (this.#copy && this.#copy.step !== otherThan) await this.#copy.done
  }

  async stop(): Promise<void> {
    await this.#copy?.done.catch(() => undefined)
    await this.#saver.stop()
  }

  async #write({ step, judge, hashes }: SavedState): Promise<CheckpointError | undefined> {
    const { config, report } = this.#options
    report({ kind: 'phase', phase: 'checkpoint' })
    const { keepCheckpoints: keep, every } = config
    const known = { meta: metaOf(config, judge), parent: this.#parent, hashes }
    const result = await this.#saver.save({ step, ...known, keep, planned: every.checkpoint })
    if (!result.saved) return new CheckpointError(result.problem)
    if (result.problem !== undefined) report({ kind: 'warning', message: result.problem })
    this.#savedStep = step
    this.#parent = result.hash
    report({ kind: 'checkpoint', step, path: result.path, seconds: result.seconds })
    return undefined
  }
}
