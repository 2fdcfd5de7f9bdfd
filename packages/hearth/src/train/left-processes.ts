// The processes that a supervisor started, written down beside the state that they write: a supervisor that goes on with
// the state of one that was killed ends them first, so that none of them can write into it any more. A process is known
// by its number and its start, since numbers come back.
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { HearthError } from '@hearth/torch'
import { startOf } from './run-folder-lock.js'

const FILE = 'processes'
const LONGEST_SECONDS = 10

/** @param folder of the state */
export function noteProcess(folder: string, pid: number): void {
  const start = startOf(pid)
  if (start !== undefined) appendFileSync(join(folder, FILE), `${pid} ${start}\n`)
}

/**
 * Ends the processes that were noted in the folder of a state, and waits until they are gone.
 * @throws HearthError when one cannot be ended
 */
export async function endLeftProcesses(folder: string): Promise<void> {
  const path = join(folder, FILE)
  if (!existsSync(path)) return
  const noted = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  const isAlive = (line: string) => {
    const [pid, ...start] = line.split(' ')
    return startOf(Number(pid)) === start.join(' ')
  }
  for (const line of noted.filter(isAlive)) process.kill(Number(line.split(' ')[0]), 'SIGKILL')
  for (let waited = 0; noted.some(isAlive); waited += 0.01) {
    if (waited > LONGEST_SECONDS)
      throw new HearthError(
        `processes of an earlier supervisor still use ${folder}: ${noted.filter(isAlive).join(', ')}`,
        {
          remedy: 'wait until they have ended, then resume the run',
        },
      )
    await wait(10)
  }
  rmSync(path, { force: true })
}
