// The logs of a run that several machines share: whoever leads writes them, from the step on at which it came to lead.
import type { Measured, RunLog } from '../run-folder-log.js'

/** What the flow of a run needs of its logs. */
export type StepLog = Pick<RunLog, 'write' | 'rewind' | 'sync'> & Disposable

export class LeaderLog implements StepLog {
  readonly #leads: () => boolean
  readonly #openAfter: (afterStep: number) => RunLog
  #log: RunLog | undefined

  /** @param open gives the logs without what they say of later steps */
  constructor(leads: () => boolean, open: (afterStep: number) => RunLog) {
    this.#leads = leads
    this.#openAfter = open
  }

  /** Whoever leads now begins after this step. */
  open(afterStep: number): void {
    if (this.#leads()) this.#log ??= this.#openAfter(afterStep)
  }

  write(measured: Measured): void {
    this.open(measured.step - 1)
    if (this.#leads()) this.#log?.write(measured)
    else this.close()
  }

  rewind(step: number): void {
    this.#log?.rewind(step)
  }

  sync(): void {
    this.#log?.sync()
  }

  close(): void {
    this.#log?.close()
    this.#log = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
