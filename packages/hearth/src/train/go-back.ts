// The end of going back, once the state is that of a checkpoint again: it is saved with the batches that are left out
// from there, and only then the checkpoints behind which the run went back are given up.
import { CheckpointError } from '@hearth/torch'
import { realStorage, withdrawCheckpoints } from '../checkpoint/index.js'
import type { RunConfig } from './config.js'
import type { RunTrouble } from './event-log.js'
import { TrainingError } from './judge.js'
import type { RewindVerdict } from './judged-steps.js'
import type { Report } from './run-events.js'

export interface GoBack {
  /** The folder of the checkpoints. */
  checkpoints: string
  /** Gives the error of a disk that refuses. */
  save: () => Promise<CheckpointError | undefined>
  note: (event: RunTrouble) => void
  report: Report
}

/**
 * For a run that finds no checkpoint up to step `to`: at its beginning it may do all its steps again.
 * @throws TrainingError where the checkpoints that it would need were pruned long ago
 */
export function checkBeginning(
  { to, reason }: Pick<RewindVerdict, 'to' | 'reason'>,
  { every, keepCheckpoints }: RunConfig,
): void {
  if (to <= every.checkpoint * keepCheckpoints) return
  throw new TrainingError(
    `training cannot go on: ${reason}; and no checkpoint up to step ${to} is there to go back to`,
    {
      remedy:
        'what is there is kept: start a new run with a lower learning rate from a model of before, or with more keepCheckpoints',
    },
  )
}

/** @param from the step of the state that was found: where its checkpoint is missing, steps up to `to` are done again */
export async function finishRewind(verdict: RewindVerdict, from: number, run: GoBack): Promise<void> {
  const { to, skipped, reason, bad } = verdict
  run.note({ kind: 'rewound', to, from, skipped, reason, ...(bad !== undefined && { bad }) })
  const refused = await run.save()
  if (refused) run.report({ kind: 'warning', message: refused.message })
  // Should the run be stopped now, it meets the same trouble again, and goes back again.
  else await withdrawn({ after: from, ...(bad !== undefined && { bad }) }, run)
}

async function withdrawn(what: { after: number; bad?: number }, { checkpoints, report }: GoBack): Promise<void> {
  try {
    await withdrawCheckpoints(realStorage, checkpoints, what)
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    report({ kind: 'warning', message: error.message })
  }
}
