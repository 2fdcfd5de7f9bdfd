// What a person means by MODEL when no file and no run has that name: a model on the hub, fetched into the cache once.
import { existsSync } from 'node:fs'
import { HearthError } from '@hearth/torch'
import { fetchModel, parseHubName } from 'hearth/formats'
import { CommandError } from './failure.js'
import { formatBytes } from './format.js'
import { findRun } from './locate.js'
import { StatusLine } from './status-line.js'

/**
 * @returns a word that means something on this machine: itself, or the folder of the model in the cache
 * @throws CommandError when it looks like a name on the hub and cannot be had there
 */
export async function localModel(word: string): Promise<string> {
  const name = parseHubName(word)
  // `runs/spark` with a folder runs/ is a path that is mistyped.
  if (name === undefined || existsSync(word) || existsSync(word.split('/')[0]!) || findRun(word) !== undefined)
    return word
  const status = process.stderr.isTTY ? new StatusLine(process.stderr) : undefined
  const onProgress = (have: number, of: number) =>
    status?.set(`Fetching ${word}  ${formatBytes(have)} of ${formatBytes(of)}`)
  try {
    return await fetchModel(name, { onProgress })
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
    throw new CommandError(
      `there is no model folder and no run ${JSON.stringify(word)}, and from the hub it cannot be had:\n  ${error.message}`,
    )
  } finally {
    status?.clear()
  }
}
