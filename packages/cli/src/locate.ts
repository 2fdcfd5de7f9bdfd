// What a person means by RUN: a path, or the name of a run in ./runs. Only names are looked at; nothing is opened.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError } from './failure.js'

/** Where runs are kept when nothing else is said. */
export const RUNS_FOLDER = 'runs'

/** A Hugging Face folder has a config.json too; a status is what only runs have. */
export const isRun = (folder: string): boolean =>
  ['config.json', 'status.json'].every((file) => existsSync(join(folder, file)))

/** The folder of a run, if the word means one. */
export function findRun(word: string, runs = RUNS_FOLDER): string | undefined {
  return [word, join(runs, word)].find(isRun)
}

/**
 * The folder of a run.
 * @throws CommandError when the word means none
 */
export function locateRun(word: string, runs = RUNS_FOLDER): string {
  const found = findRun(word, runs)
  if (found !== undefined) return found
  const reason = existsSync(word) ? `${word} is not the folder of a run` : `there is no run ${JSON.stringify(word)}`
  throw new CommandError(reason, 'hearth runs lists the runs; give a folder, or a name from that list')
}
