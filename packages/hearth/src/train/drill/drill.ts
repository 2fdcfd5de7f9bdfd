// The fire drill: a small model is trained while workers are killed, stopped, slowed and given numbers that are none, their
// supervisor is killed, checkpoints fail and memory flips bits, by a schedule that its seed decides, and once undisturbed,
// without workers. The weights must have the same bits. It runs the same supervisor and workers as any run, on the machine
// that it is to be trusted on.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashCounters } from '../../data/index.js'
import { resolveConfig, type RunConfig } from '../config.js'
import type { RunEvent } from '../run-events.js'
import { checkCrew } from '../check-run.js'
import { resumeRun, startRun } from '../run.js'
import { carry } from './carrier.js'
import { planFaults, stepsFor } from './faults.js'
import { DrillRecord, type FaultRow } from './record.js'

export interface DrillOptions {
  /** A disturbed run for each of these counts, with the same faults drawn. */
  workers: readonly number[]
  faults: number
  seed: number
  /** An empty or new folder for the runs. */
  folder: string
  /** Told after every fault. */
  onProgress?: (had: number, of: number) => void
  signal?: AbortSignal
}

/** What became of one count of workers. */
export interface CrewReport {
  workers: number
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

export interface DrillReport {
  seed: number
  crews: CrewReport[]
  /** Of all of them. */
  sameBits: boolean
}

const SLOTS = 4

/**
 * @throws ConfigError when the workers cannot share 4 slots; HearthError when a run does not survive
 * @example
 * const { sameBits } = await drill({ workers: [1, 2, 4], faults: 100, seed: 1, folder: 'drill' })
 */
export async function drill(options: DrillOptions): Promise<DrillReport> {
  const { workers: counts, faults, seed, folder, signal, onProgress } = options
  mkdirSync(folder, { recursive: true })
  const text = join(folder, 'text.txt')
  writeFileSync(text, randomText(seed))
  const config = (name: string) => drillConfig(name, text, stepsFor(faults), seed)
  for (const workers of counts) checkCrew(config('disturbed'), { workers })
  const disturbed: { workers: number; dir: string; step: number; record: DrillRecord }[] = []
  let had = 0
  const onHad = () => onProgress?.(++had, faults * counts.length)
  for (const workers of counts) {
    const dir = join(folder, `disturbed-${workers}`)
    const record = new DrillRecord()
    const charge = { config: config(`disturbed-${workers}`), dir, workers, faults: planFaults(faults, seed) }
    const step = await carry({ ...charge, record, onHad, signal })
    disturbed.push({ workers, dir, step, record })
  }
  const calm = new Undisturbed(config('undisturbed'), join(folder, 'undisturbed'), signal)
  const crews = new Map<number, CrewReport>()
  for (const { workers, dir, step, record } of disturbed.toSorted((a, b) => a.step - b.step)) {
    const sameBits = (await calm.hashAfter(step)) === stateHash(dir)
    crews.set(workers, { workers, ...record.summary(), sameBits })
  }
  const inOrder = counts.map((workers) => crews.get(workers)!)
  return { seed, crews: inOrder, sameBits: inOrder.every(({ sameBits }) => sameBits) }
}

/** The same steps in this process, with no workers at all. */
class Undisturbed {
  readonly #config: RunConfig
  readonly #dir: string
  readonly #signal: AbortSignal | undefined
  #step = 0

  constructor(config: RunConfig, dir: string, signal: AbortSignal | undefined) {
    this.#config = config
    this.#dir = dir
    this.#signal = signal
  }

  /** @param step not before that of the last call */
  async hashAfter(step: number): Promise<string> {
    const there = new AbortController()
    const report = (event: RunEvent) => {
      if (event.kind === 'step' && event.step.number === step) there.abort()
    }
    const signal = this.#signal ? AbortSignal.any([this.#signal, there.signal]) : there.signal
    if (this.#step === 0) await startRun(this.#config, { dir: this.#dir, report, signal })
    else if (step > this.#step) await resumeRun(this.#dir, { report, signal })
    this.#step = step
    return stateHash(this.#dir)
  }
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
