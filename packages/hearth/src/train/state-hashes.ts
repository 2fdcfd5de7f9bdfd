// Whether the state of a run in this process is still what its last step wrote: hashed when the step is done, and once
// more before the next one changes it. In between lie measurements, samples, checkpoints and the whole next gradient.
// Weights are updated in place, so there is no state before it to do the step again from: the run goes back to a
// checkpoint. Not here: the state that workers share (bank-hashes.ts), going back (session.ts).
import { HearthError } from '@hearth/torch'
import { hashesOf, type Hashes } from './bank-hashes.js'
import type { TrainerState } from './trainer.js'

export interface StateHashesOptions {
  /** Steps between the states that are hashed; 0 for none. */
  every: number
  /** Steps between checkpoints: what is written to disk must be what the step wrote. */
  checkpointEvery: number
}

export class StateHashes {
  readonly #options: StateHashesOptions
  #known: { step: number; hashes: Hashes } | undefined
  readonly #soundness = new Soundness()

  constructor(options: StateHashesOptions) {
    this.#options = options
  }

  /** Hashes a state that a step has just written, where it is due. */
  record({ step, tensors }: TrainerState): void {
    this.#known = isHashed(step, this.#options) ? { step, hashes: hashesOf(tensors) } : undefined
  }

  /**
   * Hashes it once more.
   * @returns the tensors that are not what was written; none where it was not hashed
   * @throws HearthError when the same steps fail again and again: this memory is not sound
   */
  check({ step, tensors }: TrainerState): string[] {
    const known = this.#known
    if (known?.step !== step) return []
    const changed = changedIn(hashesOf(tensors), known.hashes)
    if (changed.length > 0) {
      this.#known = undefined
      this.#soundness.doubt(step, changed)
    }
    return changed
  }
}

export const isHashed = (step: number, { every, checkpointEvery }: StateHashesOptions): boolean =>
  every > 0 && (step % every === 0 || step % checkpointEvery === 0)

/** Names of the tensors that are not what they were. */
export const changedIn = (now: Hashes, known: Hashes): string[] =>
  Object.keys(known).filter((name) => now[name] !== known[name])

/** Times that the same steps are done again before the memory is given up. */
const MAX_TIMES = 3

/** Whether memory can be trusted any longer. */
export class Soundness {
  /** The furthest step whose state was not what was written, and how often one up to it was not. */
  #found = { step: -1, times: 0 }

  /** @throws HearthError when the same steps fail again and again */
  doubt(step: number, changed: readonly string[]): void {
    this.#found = step > this.#found.step ? { step, times: 1 } : { ...this.#found, times: this.#found.times + 1 }
    if (this.#found.times <= MAX_TIMES) return
    throw new HearthError(`memory has changed ${changed.join(', ')} again, in the state of step ${step}`, {
      remedy: 'test the memory of this machine, and go on from the last checkpoint on another: hearth resume RUN',
    })
  }
}

/** Thrown through a step whose gradient was computed from a state that memory has changed. */
export class StateChanged extends Error {
  constructor(readonly tensors: string[]) {
    super(`memory has changed ${tensors.join(', ')}`)
  }
}
