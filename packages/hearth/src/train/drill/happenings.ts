// Has the faults of a drill happen to a run, from inside the process of its supervisor. Not here: which (faults.ts).
import type { CrewUnderDrill } from './crew-under-drill.js'
import type { Fault, FaultKind } from './faults.js'
import type { DrillRecord } from './record.js'

/** Steps that a run goes on after its last fault: time for that to be noticed. */
const STEPS_AFTER = 13

/** Has the planned faults happen, one a step at most. */
export class Happenings {
  readonly #left: Fault[]
  readonly #record: DrillRecord
  readonly #onHad: (fault: Fault, places: number[]) => void
  #crew: CrewUnderDrill | undefined
  /** The step after which the last fault was had. */
  #last: number | undefined

  /** @param onHad told of each fault, and of the workers that it struck, before it strikes */
  constructor(faults: readonly Fault[], record: DrillRecord, onHad: (fault: Fault, places: number[]) => void) {
    this.#left = [...faults]
    this.#record = record
    this.#onHad = onHad
  }

  happenTo(crew: CrewUnderDrill): void {
    this.#crew = crew
  }

  afterStep(step: number): void {
    const due = this.#left[0]
    if (due === undefined || due.afterStep > step || (this.#record.open && !due.atOnce)) return
    if (!this.#crew!.processes.some(({ ready }) => ready) || (due.kind === 'nan' && this.#record.spoiled)) return
    this.#left.shift()
    // Between two steps, when the committed state is at rest: a step that reads it is not under way.
    if (due.kind === 'bit flip') this.#have(due)
    else setTimeout(() => this.#have(due), due.delayMilliseconds)
  }

  /** Whether all faults were had, and some steps ago. */
  over(step: number): boolean {
    if (this.#left.length > 0) return false
    this.#last ??= step
    return step >= this.#last + STEPS_AFTER && !this.#record.open
  }

  #have(fault: Fault): void {
    const { kind, choice } = fault
    const { saver } = this.#crew!
    const elsewhere: Partial<Record<FaultKind, () => void>> = {
      'bit flip': () => this.#crew!.flipBit(choice),
      saver: () => saver.processes.forEach(({ pid }) => signalTo(pid, 'SIGKILL')),
      'full disk': () => saver.inject(0, { kind: 'full disk' }),
    }
    const strike = elsewhere[kind]
    if (strike || kind === 'supervisor') {
      strike?.()
      this.#happened(fault, [0])
      return
    }
    // Only a signal reaches a worker that is still starting.
    const all = this.#crew!.processes.filter(({ ready }) => ready || kind === 'kill' || kind === 'kill all')
    const chosen = kind === 'kill all' ? all : all.slice(choice % Math.max(1, all.length)).slice(0, 1)
    this.#happened(
      fault,
      chosen.map(({ place }) => place),
    )
    for (const { place, pid } of chosen) this.#strike(kind, place, pid)
  }

  #happened(fault: Fault, places: number[]): void {
    this.#record.happened(fault.kind, places)
    this.#onHad(fault, places)
  }

  #strike(kind: FaultKind, place: number, pid: number): void {
    const signals = { kill: 'SIGKILL', 'kill all': 'SIGKILL', segfault: 'SIGSEGV', stop: 'SIGSTOP' } as const
    if (kind in signals) signalTo(pid, signals[kind as keyof typeof signals])
    else if (kind === 'exit') this.#crew!.inject(place, { kind, code: 3 })
    else if (kind === 'block') this.#crew!.inject(place, { kind, seconds: 120 })
    else if (kind === 'slow') this.#crew!.inject(place, { kind, seconds: 0.3 })
    else this.#crew!.inject(place, { kind: 'nan' })
  }
}

/** A process may have ended a moment ago. */
function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
