// A turn for everything else that the process has to do: signals, timers, files. The work itself never waits.
import { setImmediate as nextCheck } from 'node:timers/promises'

/**
 * Lets the event loop hear all that came, signals above all. Once is not enough: immediates run right after the phase in
 * which the system is asked what came, so that work which began in that phase would go on without asking again.
 */
export async function hearEvents(): Promise<void> {
  await nextCheck()
  await nextCheck()
}
