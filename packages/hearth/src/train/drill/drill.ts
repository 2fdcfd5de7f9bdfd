// The fire drill: a small model is trained twice, once while workers are killed, stopped, slowed and given numbers that
// are none, checkpoints fail and memory flips bits, by a schedule that its seed decides, and once undisturbed, without
// workers. The weights must have the same bits. It runs the same supervisor and workers as any run, on the machine that
// it is to be trusted on.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashCounters } from '../../data/index.js'
import { resolveConfig, type RunConfig } from '../config.js'
import type { RunEvent } from '../run-events.js'
import { startRun } from '../run.js'
import type { CrewUnderDrill } from './crew-under-drill.js'
import { planFaults, stepsFor, type Fault, type FaultKind } from './faults.js'
import { DrillRecord, type FaultRow } from './record.js'

export interface DrillOptions {
  workers: number
  faults: number
  seed: number
  /** An empty or new folder for both runs. */
  folder: string
  /** Told after every fault. */
  onProgress?: (had: number, of: number) => void
  signal?: AbortSignal
}

export interface DrillReport {
  workers: number
  seed: number
  /** A row for each kind that happened. */
  rows: FaultRow[]
  steps: number
  /** Faults that were had. */
  had: number
  /** Committed steps that had to be done again. */
  stepsLost: number
  goodput: number
  seconds: number
  /** Whether weights and optimizer state have the bits of the undisturbed run. */
  sameBits: boolean
}

const SLOTS = 4
/** Steps that a run goes on after its last fault: time for that to be noticed. */
const STEPS_AFTER = 13
const PATIENCE = { deadlines: { minimumSeconds: 1 }, maxFalls: 1000 }

/**
 * @throws ConfigError when the workers cannot share 4 slots; CrewError when the run does not survive
 * @example
 * const { sameBits } = await drill({ workers: 2, faults: 100, seed: 1, folder: 'drill' })
 */
export async function drill(options: DrillOptions): Promise<DrillReport> {
  const { workers, faults, seed, folder, signal } = options
  mkdirSync(folder, { recursive: true })
  const text = join(folder, 'text.txt')
  writeFileSync(text, randomText(seed))
  const config = (name: string) => drillConfig(name, text, stepsFor(faults), seed)
  const record = new DrillRecord()
  const happenings = new Happenings(planFaults(faults, seed), record, options.onProgress)
  const dir = join(folder, 'disturbed')
  const enough = new AbortController()
  const report = (event: RunEvent) => {
    record.hear(event)
    if (event.kind !== 'step') return
    happenings.afterStep(event.step.number)
    if (happenings.over(event.step.number)) enough.abort()
  }
  const onCrew = (crew: CrewUnderDrill) => happenings.happenTo(crew)
  const { step } = await startRun(config('disturbed'), {
    ...{ dir, workers, report, drill: { onCrew, patience: PATIENCE } },
    signal: signal ? AbortSignal.any([signal, enough.signal]) : enough.signal,
  })
  const calm = join(folder, 'undisturbed')
  await undisturbed(config('undisturbed'), calm, step, signal)
  const sameBits = stateHash(calm) === stateHash(dir)
  return { workers, seed, ...record.summary(), sameBits }
}

/** The same steps in this process, with no workers at all. */
async function undisturbed(config: RunConfig, dir: string, steps: number, signal?: AbortSignal): Promise<void> {
  const there = new AbortController()
  const report = (event: RunEvent) => {
    if (event.kind === 'step' && event.step.number === steps) there.abort()
  }
  await startRun(config, { dir, report, signal: signal ? AbortSignal.any([signal, there.signal]) : there.signal })
}

function drillConfig(name: string, text: string, steps: number, seed: number): RunConfig {
  return resolveConfig({
    ...{ name, steps, seed, batch: SLOTS, slots: SLOTS, sequenceLength: 32, dtype: 'float32' },
    model: {
      preset: 'spark',
      config: {
        num_hidden_layers: 1,
        hidden_size: 64,
        intermediate_size: 128,
        num_attention_heads: 2,
        num_key_value_heads: 2,
      },
    },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: text }], heldOutFraction: 0 },
    optimizer: { learningRate: 1e-3 },
    schedule: { warmupSteps: 2 },
    every: { log: 1000, evaluate: steps + 1, checkpoint: 25 },
    // So that a bit that flips between any two steps is found.
    guard: { hashEvery: 1 },
  })
}

/** Words of no meaning: what matters are the bits. */
function randomText(seed: number): string {
  const letter = (i: number) => String.fromCharCode(97 + (hashCounters(seed, i, 7) % 26))
  return Array.from({ length: 20_000 }, (_, i) => (hashCounters(seed, i, 8) % 5 === 0 ? ' ' : letter(i))).join('')
}

/** Of the tensors in the newest checkpoint. */
function stateHash(run: string): string {
  const folder = join(run, 'checkpoints')
  const newest = join(folder, readdirSync(folder).sort().at(-1)!)
  const hash = createHash('sha256')
  for (const file of readdirSync(newest).sort())
    if (file.endsWith('.safetensors')) hash.update(readFileSync(join(newest, file)))
  return hash.digest('hex')
}

/** Has the planned faults happen, one a step at most. */
class Happenings {
  readonly #left: Fault[]
  readonly #of: number
  readonly #record: DrillRecord
  readonly #onProgress: DrillOptions['onProgress']
  #crew: CrewUnderDrill | undefined
  /** The step after which the last fault was had. */
  #last: number | undefined

  constructor(faults: readonly Fault[], record: DrillRecord, onProgress: DrillOptions['onProgress']) {
    this.#left = [...faults]
    this.#of = faults.length
    this.#record = record
    this.#onProgress = onProgress
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
    this.#onProgress?.(this.#of - this.#left.length, this.#of)
  }

  /** Whether all faults were had, and some steps ago. */
  over(step: number): boolean {
    if (this.#left.length > 0) return false
    this.#last ??= step
    return step >= this.#last + STEPS_AFTER && !this.#record.open
  }

  #have({ kind, choice }: Fault): void {
    const { saver } = this.#crew!
    const elsewhere: Partial<Record<FaultKind, () => void>> = {
      'bit flip': () => this.#crew!.flipBit(choice),
      saver: () => saver.processes.forEach(({ pid }) => signalTo(pid, 'SIGKILL')),
      'full disk': () => saver.inject(0, { kind: 'full disk' }),
    }
    const strike = elsewhere[kind]
    if (strike) {
      strike()
      this.#record.happened(kind, [0])
      return
    }
    // Only a signal reaches a worker that is still starting.
    const all = this.#crew!.processes.filter(({ ready }) => ready || kind === 'kill' || kind === 'kill all')
    const chosen = kind === 'kill all' ? all : all.slice(choice % Math.max(1, all.length)).slice(0, 1)
    this.#record.happened(
      kind,
      chosen.map(({ place }) => place),
    )
    for (const { place, pid } of chosen) this.#strike(kind, place, pid)
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
