// What a run logs at a step, to its two readers: metrics.jsonl for programs, event files for TensorBoard.
import { EventFile } from './tensorboard.js'
import { MetricsLog } from './metrics.js'
import type { MetricsOptions, StepMetrics } from './metrics.js'

/** How the logs of a run are opened. */
export type RunLogOptions = MetricsOptions

/** What is measured at a step; the log adds the time. */
export type Measured = Omit<StepMetrics, 'time'>

/** Curves by the names that TensorBoard shows: what stands before the slash is the group. */
const TAGS: Record<Exclude<keyof Measured, 'step'>, string> = {
  loss: 'loss/train',
  heldOutLoss: 'loss/held_out',
  learningRate: 'optimizer/learning_rate',
  gradientNorm: 'optimizer/gradient_norm',
  tokensPerSecond: 'speed/tokens_per_second',
  modelFlopUtilisation: 'speed/model_flop_utilisation',
  memoryBytes: 'memory/resident_bytes',
}

/** Writes one step to all logs of a run. */
export class RunLog {
  readonly #paths: { metrics: string; tensorboard: string }
  readonly #options: RunLogOptions
  #metrics: MetricsLog
  #events: EventFile

  /** @internal Use Run.log(). */
  constructor(paths: { metrics: string; tensorboard: string }, options: RunLogOptions) {
    this.#paths = paths
    this.#options = options
    this.#metrics = new MetricsLog(paths.metrics, options)
    this.#events = new EventFile(paths.tensorboard, options)
  }

  write(measured: Measured): void {
    const time = new Date()
    const scalars: Record<string, number> = {}
    for (const [field, tag] of Object.entries(TAGS)) {
      const value = measured[field as keyof typeof TAGS]
      if (value !== undefined) scalars[tag] = value
    }
    this.#metrics.write({ ...measured, time: time.toISOString() })
    this.#events.scalars(measured.step, scalars, time)
  }

  /** Brings the logs to disk: before a checkpoint, so that a run resumed after a power cut has no gap in its curves. */
  sync(): void {
    this.#metrics.sync()
    this.#events.sync()
  }

  /** Forgets what was logged of steps after this one: the run went back, and does them anew. */
  rewind(afterStep: number): void {
    this.close()
    this.#metrics = new MetricsLog(this.#paths.metrics, { ...this.#options, afterStep })
    this.#events = new EventFile(this.#paths.tensorboard, { ...this.#options, afterStep, goesBack: true })
  }

  close(): void {
    this.#metrics.close()
    this.#events.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
