// What a run says while it goes on, for progress bars and tests, and what it gives at its end.
import type { RunChange } from './changes.js'
import type { RunTrouble } from './event-log.js'
import type { HeldOutLoss } from './held-out.js'
import type { Step } from './trainer.js'

export type RunPhase =
  | 'data'
  | 'tokenizer'
  | 'tokens'
  | 'fetching'
  | 'model'
  | 'training'
  | 'evaluating'
  | 'checkpoint'
  | 'copying'
  | 'export'

export type RunEvent =
  | { kind: 'phase'; phase: RunPhase; detail?: string; done?: number; of?: number }
  | {
      kind: 'step'
      step: Step
      of: number
      tokensPerSecond: number
      /** From 0 to 1; the convention is FLOP_CONVENTION. */
      modelFlopUtilisation: number
      memoryBytes: number
    }
  /** The run goes on from a checkpoint. */
  | { kind: 'restored'; step: number; path: string }
  | { kind: 'evaluation'; step: number; heldOut: HeldOutLoss }
  | { kind: 'sample'; step: number; text: string }
  | { kind: 'checkpoint'; step: number; path: string; seconds: number }
  /** A durable checkpoint is in another place as well: whole, and read back where that was asked for. */
  | { kind: 'copied'; step: number; to: string; bytes: number; seconds: number }
  /** A checkpoint was brought back from such a place. */
  | { kind: 'fetched'; step: number; from: string }
  /** Fields of the configuration, and the learning rate of the next step, as they were and as they are. */
  | { kind: 'change'; change: RunChange; learningRates: readonly [number, number] }
  /** Something went wrong with a worker, or was mended; events.jsonl has it too. */
  | { kind: 'trouble'; event: RunTrouble }
  | { kind: 'warning'; message: string }

export type Report = (event: RunEvent) => void

export interface RunResult {
  /** The run's folder. */
  dir: string
  /** Steps done. */
  step: number
  /** Steps of the whole run. */
  of: number
  /** It was asked to stop before its end, and can be resumed. */
  stopped: boolean
  /** On all held-out text; undefined when the run was stopped or holds no text back. */
  heldOut?: HeldOutLoss
  /** The exported Hugging Face folder, when the run is finished. */
  model?: string
}
