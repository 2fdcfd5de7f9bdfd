// Gives a job to the cluster, through the cluster's own command.
import { spawnSync } from 'node:child_process'
import { CommandError } from '../failure.js'

/**
 * Runs a program of the cluster to its end.
 * @param input for its stdin
 * @returns what it says
 * @throws CommandError when it is missing, or refuses
 */
export function askCluster(line: readonly [string, ...string[]], input?: string): string {
  const [program, ...args] = line
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    ...(input !== undefined && { input }),
  })
  if (error !== undefined)
    throw new CommandError(
      `${program} cannot be run here: ${error.message}`,
      'submit the job from a machine of the cluster; the files are written',
    )
  if (status !== 0)
    throw new CommandError(`${line.join(' ')} refused the job:\n  ${stderr.trim().replaceAll('\n', '\n  ')}`)
  return stdout.trim()
}
