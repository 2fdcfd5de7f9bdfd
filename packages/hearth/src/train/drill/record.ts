// What happened in a drill: for each fault, when it was noticed and when the next step was committed; and the figures of
// all of them.
import type { RunEvent } from '../run-events.js'
import { Goodput, type RunTrouble } from '../event-log.js'
import type { Step } from '../trainer.js'
import { FAULT_KINDS, type FaultKind } from './faults.js'

/** Seconds: median, 99th percentile, longest; undefined where there was nothing to measure. */
export interface Quantiles {
  p50: number
  p99: number
  max: number
}

/** One kind of fault. */
export interface FaultRow {
  kind: FaultKind
  count: number
  noticedAfter: Quantiles | undefined
  recoveredAfter: Quantiles | undefined
}

interface Happened {
  kind: FaultKind
  places: number[]
  afterStep: number
  at: number
  noticedAt?: number
  recoveredAt?: number
}

/** The others are ridden out by the worker itself. */
const ENDS_A_WORKER: ReadonlySet<FaultKind> = new Set([
  'kill',
  'exit',
  'segfault',
  'stop',
  'block',
  'kill all',
  'supervisor',
])

/** Events that tell of faults which end no worker. */
const NOTICED_BY: Partial<Record<RunTrouble['kind'], FaultKind>> = {
  refused: 'nan',
  corrupt: 'bit flip',
  'saver-lost': 'saver',
}

/** Steps after which a fault that nobody noticed is waited for no more. */
const STEPS_OPEN = 12

const now = () => performance.now() / 1000

export class DrillRecord {
  readonly #happened: Happened[] = []
  #lastStep = 0
  #steps = 0
  #stepsLost = 0
  readonly #goodput = new Goodput()
  #lost = 0
  /** Since which there is no supervisor. */
  #aloneSince: number | undefined

  happened(kind: FaultKind, places: number[]): void {
    if (places.length === 0) return
    this.#happened.push({ kind, places, afterStep: this.#lastStep, at: now() })
  }

  /** Whether a fault that somebody must notice was not recovered from yet; one that struck a worker already gone never is. */
  get open(): boolean {
    return this.#happened.some(
      ({ kind, recoveredAt, afterStep }) =>
        ENDS_A_WORKER.has(kind) && recoveredAt === undefined && this.#lastStep - afterStep < STEPS_OPEN,
    )
  }

  /** Whether a gradient was spoiled that nobody has computed yet: a second one may spoil the same batch twice. */
  get spoiled(): boolean {
    const isOpen = ({ kind, noticedAt, afterStep }: Happened) =>
      kind === 'nan' && noticedAt === undefined && this.#lastStep - afterStep < STEPS_OPEN
    return this.#happened.some(isOpen)
  }

  hear(event: RunEvent): void {
    if (event.kind === 'step') this.#step(event.step)
    else if (event.kind === 'trouble') this.#trouble(event.event)
    else if (event.kind === 'warning' && event.message.includes('disk is full'))
      this.#notice(({ kind }) => kind === 'full disk')
  }

  /** Another goes on with the run. */
  supervisorLost(): void {
    this.#notice(({ kind }) => kind === 'supervisor')
    this.#aloneSince = this.#happened.findLast(({ kind }) => kind === 'supervisor')?.at
  }

  #step({ number, seconds }: Step): void {
    this.#steps++
    const since = this.#aloneSince
    this.#goodput.add(since === undefined ? seconds : now() - since, this.#lost > 0 || since !== undefined)
    this.#lost = 0
    this.#aloneSince = undefined
    if (number <= this.#lastStep) this.#stepsLost += this.#lastStep - number + 1
    this.#lastStep = number
    for (const fault of this.#happened) if (fault.noticedAt !== undefined) fault.recoveredAt ??= now()
  }

  #trouble(event: Extract<RunEvent, { kind: 'trouble' }>['event']): void {
    if (event.kind === 'worker-lost') this.#lost++
    const kind = NOTICED_BY[event.kind]
    if (kind !== undefined) this.#notice((fault) => fault.kind === kind)
    if (event.kind === 'worker-lost')
      this.#notice(({ kind, places }) => ENDS_A_WORKER.has(kind) && places.includes(event.worker))
  }

  #notice(isOne: (fault: Happened) => boolean): void {
    const fault = this.#happened.find((fault) => fault.noticedAt === undefined && isOne(fault))
    if (fault) fault.noticedAt = now()
  }

  summary(): { rows: FaultRow[]; had: number; steps: number; stepsLost: number; goodput: number; seconds: number } {
    const rows = FAULT_KINDS.map((kind) => rowOf(kind, this.#happened)).filter(({ count }) => count > 0)
    const { goodput, seconds } = this.#goodput.value
    return { rows, had: this.#happened.length, steps: this.#steps, stepsLost: this.#stepsLost, goodput, seconds }
  }
}

function rowOf(kind: FaultKind, all: readonly Happened[]): FaultRow {
  const own = all.filter((fault) => fault.kind === kind)
  const noticed = own.flatMap(({ at, noticedAt }) => (noticedAt === undefined ? [] : [noticedAt - at]))
  const recovered = own.flatMap(({ at, recoveredAt }) => (recoveredAt === undefined ? [] : [recoveredAt - at]))
  return { kind, count: own.length, noticedAfter: quantilesOf(noticed), recoveredAfter: quantilesOf(recovered) }
}

function quantilesOf(values: number[]): Quantiles | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1)! }
}
