// metrics.jsonl: what a run measured, one JSON object a line, readable by anything while the run goes on. The first line
// says what the file is and which convention its model FLOP utilisation follows. Not here: measuring (trainer.ts).
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, truncateSync } from 'node:fs'
import { AppendFile } from './metrics-append-file.js'

/** One line: what was measured at one step. */
export interface StepMetrics {
  /** Steps done. */
  step: number
  /** Nats a token; NaN is written as null. */
  loss: number
  learningRate: number
  /** Global norm before clipping; NaN is written as null. */
  gradientNorm: number
  tokensPerSecond: number
  /** Share of the machine's peak, from 0 to 1. */
  modelFlopUtilisation?: number
  /** Resident memory. */
  memoryBytes: number
  /** Nats a token on held-out data, at steps where it was measured. */
  heldOutLoss?: number
  /** When, as in `2026-01-31T12:00:00.000Z`. */
  time: string
}

/** The first line. */
interface Header {
  format: 'hearth-metrics'
  version: 1
  /** What `modelFlopUtilisation` counts, and over which peak. */
  flopConvention: string
}

export interface MetricsOptions {
  /** Lines of later steps are dropped: the run goes on from here. 0 for a new run. */
  afterStep: number
  flopConvention: string
  /** Told once when lines cannot be written; they are kept and tried again. */
  onProblem: (error: Error) => void
}

/** Writes metrics.jsonl. */
export class MetricsLog {
  readonly #file: AppendFile

  /** @throws the system's error when the file cannot be opened */
  constructor(path: string, { afterStep, flopConvention, onProblem }: MetricsOptions) {
    let end = 0
    if (existsSync(path)) truncateSync(path, (end = endOfStep(readFileSync(path), afterStep)))
    this.#file = new AppendFile(path, onProblem)
    const header: Header = { format: 'hearth-metrics', version: 1, flopConvention }
    if (end === 0) this.#append(header)
  }

  write(metrics: StepMetrics): void {
    this.#append(metrics)
  }

  /** Brings the lines to disk. */
  sync(): void {
    this.#file.sync()
  }

  close(): void {
    this.#file.close()
  }

  #append(line: Header | StepMetrics): void {
    this.#file.append(Buffer.from(JSON.stringify(line) + '\n'))
  }
}

/** A metrics file as it was read. */
export interface Metrics {
  /** What `modelFlopUtilisation` counts; undefined when the first line is lost. */
  flopConvention: string | undefined
  steps: StepMetrics[]
}

/**
 * Reads a metrics file, also while it is being written: a torn last line, or one that is damaged, is left out.
 * @returns no steps when there is no such file
 */
export function readMetrics(path: string): Metrics {
  const lines = existsSync(path) ? [...linesOf(readFileSync(path))].map(({ value }) => value) : []
  return {
    flopConvention: lines.find(isHeader)?.flopConvention,
    steps: lines.filter(isStep).map(withNaN),
  }
}

// Enough for hundreds of lines.
const TAIL_BYTES = 65_536

/** The last steps of a metrics file without reading all of it; none when there is no such file. */
export function readLastMetrics(path: string): StepMetrics[] {
  if (!existsSync(path)) return []
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES))
    const got = readSync(file, tail, 0, tail.length, size - tail.length)
    return [...linesOf(tail.subarray(0, got))]
      .map(({ value }) => value)
      .filter(isStep)
      .map(withNaN)
  } finally {
    closeSync(file)
  }
}

interface Line {
  value: unknown
  /** Where the next line begins. */
  end: number
}

/** Lines that end and are JSON. */
function* linesOf(bytes: Buffer): Generator<Line> {
  let start = 0
  for (let end; (end = bytes.indexOf(10, start)) >= 0; start = end + 1) {
    try {
      yield { value: JSON.parse(bytes.toString('utf8', start, end)) as unknown, end: end + 1 }
    } catch {
      continue
    }
  }
}

/** Where the file is to be cut so that no line of a later step, and no torn line, is left. */
function endOfStep(bytes: Buffer, step: number): number {
  let kept = 0
  for (const { value, end } of linesOf(bytes)) {
    if (isStep(value) && value.step > step) break
    if (isStep(value) || isHeader(value)) kept = end
  }
  return kept
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const isHeader = (value: unknown): value is Header => isRecord(value) && value.format === 'hearth-metrics'
const isStep = (value: unknown): value is Written => isRecord(value) && Number.isSafeInteger(value.step)

/** A line as JSON has it. */
type Written = Omit<StepMetrics, 'loss' | 'gradientNorm'> & { loss: number | null; gradientNorm: number | null }

// JSON has no NaN, and a loss that is not a number is what a reader most needs to see.
const withNaN = (metrics: Written): StepMetrics => ({
  ...metrics,
  loss: metrics.loss ?? NaN,
  gradientNorm: metrics.gradientNorm ?? NaN,
})
