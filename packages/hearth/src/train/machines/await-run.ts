// A run that is to be there on storage which several machines share: the first of them makes it where it is not there
// yet, the others wait for it. So a job of a cluster needs nobody who prepares its run. Not here: taking part in it
// (join-run.ts).
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HearthError } from '@hearth/torch'
import type { RunConfig } from '../config.js'
import type { RunResult } from '../run-events.js'
import { readRun, runPaths } from '../run-folder.js'
import { prepareRun } from '../run.js'
import type { JoinRunOptions } from './join-run.js'

const POLL_MILLISECONDS = 500

/**
 * Resolves when the run is there with its tokens.
 * @throws HearthError when it is not, and `config` does not say what it would be; and when the signal ends the waiting
 */
export async function awaitRun(dir: string, options: JoinRunOptions): Promise<void> {
  const { config, hosts, self, signal, leave, report = () => undefined } = options
  if (config === undefined || isPrepared(dir)) return
  if (hosts[0]?.name === self) {
    const isThere = existsSync(runPaths(resolve(dir)).config)
    const run = await prepareRun(dir, isThere ? 'resume' : { config }, report)
    run.close()
    return
  }
  while (!isPrepared(dir)) {
    if (signal?.aborted || leave?.aborted)
      throw new HearthError(`${self} was stopped while it waited for ${hosts[0]!.name} to make the run ${dir}`)
    await sleep(POLL_MILLISECONDS)
  }
}

/** Tokens come last. */
function isPrepared(dir: string): boolean {
  try {
    return readRun(dir).data !== undefined
  } catch {
    return false
  }
}

/** Of a run that is done already. */
export function resultOf(dir: string): RunResult {
  const { steps } = readRun<RunConfig>(dir).config
  return { dir: resolve(dir), of: steps, step: steps, stopped: false }
}
