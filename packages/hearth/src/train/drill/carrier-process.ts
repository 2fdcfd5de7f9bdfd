// The program that carries the disturbed run of a drill: the supervisor with its workers, and the faults that happen to
// them. Apart from the drill itself, so that it can be killed as well; another then goes on with the run. Not here: what is
// told of it (carrier.ts).
import type { RunConfig } from '../config.js'
import type { RunEvent } from '../run-events.js'
import { resumeRun, startRun } from '../run.js'
import type { CrewUnderDrill } from './crew-under-drill.js'
import type { Fault } from './faults.js'
import { Happenings } from './happenings.js'
import { DrillRecord } from './record.js'

export interface Charge {
  config: RunConfig
  dir: string
  workers: number
  /** Those that were not had yet. */
  faults: readonly Fault[]
  resume: boolean
}

export type FromCarrier =
  | { kind: 'event'; event: RunEvent }
  | { kind: 'had'; fault: Fault; places: number[] }
  | { kind: 'over'; step: number }
  | { kind: 'failed'; reason: string }

const PATIENCE = { deadlines: { minimumSeconds: 1 }, maxFalls: 1000 }
const TOLD: ReadonlySet<RunEvent['kind']> = new Set(['step', 'trouble', 'warning'])

const say = (message: FromCarrier, then?: () => void) => process.send!(message, () => then?.())

async function carry({ config, dir, workers, faults, resume }: Charge): Promise<void> {
  const record = new DrillRecord()
  const happenings = new Happenings(faults, record, (fault, places) => {
    const end = () => process.kill(process.pid, 'SIGKILL')
    say({ kind: 'had', fault, places }, fault.kind === 'supervisor' ? end : undefined)
  })
  const enough = new AbortController()
  const report = (event: RunEvent) => {
    record.hear(event)
    if (TOLD.has(event.kind)) say({ kind: 'event', event })
    if (event.kind !== 'step') return
    happenings.afterStep(event.step.number)
    if (happenings.over(event.step.number)) enough.abort()
  }
  const onCrew = (crew: CrewUnderDrill) => happenings.happenTo(crew)
  const options = { workers, report, drill: { onCrew, patience: PATIENCE }, signal: enough.signal }
  const { step } = await (resume ? resumeRun(dir, options) : startRun(config, { dir, ...options }))
  say({ kind: 'over', step }, () => process.disconnect())
}

// Without the one who asked there is nobody to carry it for.
process.on('disconnect', () => process.exit())
process.once('message', (charge: Charge) => {
  carry(charge).catch((error: unknown) => {
    say({ kind: 'failed', reason: (error as Error).message }, () => process.exit(1))
  })
})
