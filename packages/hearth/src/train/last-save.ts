// The save that a run ends with. What it would lose is in memory and nowhere else, so a disk that refuses is tried again
// until it has room or the person gives up: nothing of theirs is removed to make that room.
import { setTimeout as wait } from 'node:timers/promises'
import { HearthError, type CheckpointError } from '@hearth/torch'
import type { Report } from './run-events.js'

/** Seconds until the next attempt: doubled each time, up to the last. */
const FIRST_WAIT = 1
const LONGEST_WAIT = 60

export interface LastSaveOptions {
  /** The run's folder, for messages. */
  folder: string
  report: Report
  /**
   * Ends the waiting. One that was aborted before is why the run ends: then only the end of the process does, which is
   * what a second Ctrl+C means.
   */
  signal?: AbortSignal
}

/**
 * Saves, and tries again for as long as it takes.
 * @param save gives the error of a disk that refuses
 * @throws HearthError when the signal ends the waiting
 */
export async function saveAtLast(
  save: () => Promise<CheckpointError | undefined>,
  options: LastSaveOptions,
): Promise<void> {
  const { folder, report, signal } = options
  const giveUp = signal?.aborted ? undefined : signal
  for (let seconds = FIRST_WAIT, error; (error = await save()); seconds = Math.min(LONGEST_WAIT, 2 * seconds)) {
    const until = `next attempt in ${seconds} s; Ctrl+C gives the last steps up`
    report({ kind: 'warning', message: `${error.message}\n  the last steps are only in memory: ${until}` })
    await wait(1000 * seconds, undefined, giveUp && { signal: giveUp }).catch(() => undefined)
    if (giveUp?.aborted)
      throw new HearthError(`the last steps of ${folder} were given up: the disk refused their checkpoint`, {
        remedy: `make room on the disk; hearth resume ${folder} does the steps once more, with the same bits`,
      })
  }
}
