// The program of a guardian: it does nothing while the process that carries the run lives, and when that ends without a
// word it starts another, which goes on from the state file, or from the last checkpoint of a run in one process. It loads
// no libraries, so that nothing but a kill can end it.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RESTARTS, type ToGuardian } from './guardian.js'

/** Processes in a row that came no further. */
const MAX_WITHOUT_PROGRESS = 3

const main = fileURLToPath(new URL('./main.js', import.meta.url))
let charge: Extract<ToGuardian, { kind: 'guard' }> | undefined
let progress = false

// What reaches the whole group of processes asks the supervisor to stop; what becomes of it is its own to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => undefined)
process.on('message', (message: ToGuardian) => {
  if (message.kind === 'guard') charge = message
  else if (message.kind === 'progress') progress = true
  else process.exit(0)
})
process.on('disconnect', () => {
  if (charge !== undefined && isUnderWay(charge.dir)) replaceSupervisor(charge)
  process.exit(0)
})

/** Who is killed cannot write that the run stopped; a run that was removed has nothing to go on with. */
function isUnderWay(dir: string): boolean {
  try {
    return (JSON.parse(readFileSync(join(dir, 'status.json'), 'utf8')) as { state?: string }).state === 'running'
  } catch {
    return false
  }
}

function replaceSupervisor({ dir, args, pid, restarts }: NonNullable<typeof charge>): void {
  const without = progress ? 1 : restarts + 1
  if (without > MAX_WITHOUT_PROGRESS) {
    const times = `${MAX_WITHOUT_PROGRESS} processes in a row were lost before they had come any further`
    console.error(`error: the run ${dir} is given up: ${times}\n  remedy: see why: hearth resume ${dir}`)
    return
  }
  const env = { ...process.env, [RESTARTS]: String(without) }
  const next = spawn(process.execPath, [main, 'resume', dir, ...args], { detached: true, stdio: 'inherit', env })
  next.unref()
  console.error(
    `process ${pid}, which carried the run, was lost; the run goes on by itself in process ${next.pid}\n` +
      `  see it: hearth runs show ${dir}; stop it: kill ${next.pid}`,
  )
}
