// The committed state of workers, when it cannot be gone on with: healed where memory has flipped a bit of it, or put back
// to a checkpoint. Not here: when a run goes back (judge.ts), how banks are hashed (bank-hashes.ts).
import type { Json } from '../checkpoint/index.js'
import type { BankHashes } from './bank-hashes.js'
import type { RunTrouble } from './event-log.js'
import type { Session } from './session.js'
import { fillBank, type PreparedState } from './supervised-state.js'
import type { Workers } from './workers.js'

/** What is committed with a state. */
export interface CommitMeta {
  judge: Json
  /** The bank that the step read. */
  from?: number
  /** What the written bank hashes to, where it was hashed. */
  hash?: string
}

export const metaIn = (meta: Json) => meta as unknown as CommitMeta

export interface StateRecoveryOptions {
  prepared: Pick<PreparedState, 'state' | 'judge'>
  workers: Workers
  hashes: BankHashes
  /** A new one, at the beginning of the run. */
  session: () => Session
  freeBank: () => Promise<number>
  /** Resolves when no copy reads this bank any more; any bank when none is given. */
  isCopied: (bank?: number) => Promise<void>
  /** Told of the checkpoint that the state is of now. */
  onBack: (session: Pick<Session, 'parent' | 'savedStep'>) => void
  onCorrupt: (event: Extract<RunTrouble, { kind: 'corrupt' }>) => void
}

export class StateRecovery {
  readonly #options: StateRecoveryOptions

  constructor(options: StateRecoveryOptions) {
    this.#options = options
  }

  /** Heals a committed bank that is not what was written into it: by its step, done again, or by a checkpoint. */
  async check(): Promise<void> {
    const { prepared, hashes, onCorrupt } = this.#options
    const { step, bank, meta } = prepared.state.committed!
    const { hash, from } = metaIn(meta)
    if (hash === undefined || from === undefined) return
    const tensors = await hashes.check(bank, hash)
    if (tensors.length === 0) return
    const healed = await this.#stepAgain(from, hash)
    if (!healed) await this.goBack(step, () => undefined)
    onCorrupt({ kind: 'corrupt', step, tensors, healedBy: healed ? 'the step again' : 'a checkpoint' })
  }

  /** Whether the step before, done again from the bank that it read, gives the state that was hashed. */
  async #stepAgain(from: number, hash: string): Promise<boolean> {
    const { prepared, workers, hashes, isCopied } = this.#options
    const { state, judge } = prepared
    const { step, bank, meta } = state.committed!
    const to = [...Array(state.banks).keys()].find((each) => each !== bank && each !== from)!
    await isCopied(to)
    await workers.again(step - 1, judge.batchOf(step - 1), { from, to })
    if ((await hashes.check(to, hash)).length > 0) return false
    state.commit(step, to, meta)
    return true
  }

  /**
   * Puts the newest checkpoint up to a step, or the beginning, into a bank that is free, and commits it.
   * @param onNone called when there is no checkpoint
   */
  async goBack(upTo: number, onNone: () => void): Promise<void> {
    const { prepared, freeBank, isCopied, onBack } = this.#options
    const { judge, state } = prepared
    await isCopied()
    const session = this.#options.session()
    const { tensors } = session.trainer.state
    try {
      const found = await session.load(upTo)
      if (found === undefined) onNone()
      judge.restored((found?.meta as { judge?: Json } | undefined)?.judge)
      const bank = await freeBank()
      fillBank(state, bank, tensors)
      state.commit(session.step, bank, { judge: judge.state })
    } finally {
      Object.values(tensors).forEach((tensor) => tensor.dispose())
    }
    onBack(session)
  }
}
