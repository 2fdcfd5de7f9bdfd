// The model of a run that is not finished, or of one of its checkpoints, as a person names it.
import type { Tokenizer } from 'hearth/data'
import type { LanguageModel } from 'hearth/models'
import { loadCheckpointModel } from 'hearth/train'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { commandLine } from './command-line.js'
import { CommandError } from './failure.js'
import { isRun } from './locate.js'

/** The run that a checkpoint's folder lies in, if the word is such a folder. */
export function runOfCheckpoint(word: string): string | undefined {
  const run = dirname(dirname(resolve(word)))
  return existsSync(join(word, 'manifest.json')) && isRun(run) ? run : undefined
}

/**
 * Opens a checkpoint of a run as a model: the newest whole one when none is named.
 * @param note is told which step it is, and of damaged checkpoints that were passed over
 * @throws CommandError when the run has none yet; CheckpointError when it is damaged
 */
export async function openRunCheckpoint(
  run: string,
  note: (text: string) => void,
  checkpoint?: string,
): Promise<{ model: LanguageModel; tokenizer: Tokenizer }> {
  const onRefused = ({ path, problems }: { path: string; problems: readonly string[] }) =>
    note(`warning: checkpoint ${path} is refused, the one before it is used: ${problems.join('; ')}`)
  const opened = await loadCheckpointModel(run, { onRefused, ...(checkpoint !== undefined && { checkpoint }) })
  if (opened === undefined)
    throw new CommandError(`the run ${run} has no checkpoint yet`, `let it go on: ${commandLine('resume', run)}`)
  if (checkpoint === undefined) note(`${run} is not finished: this is step ${opened.step}.`)
  return opened
}
