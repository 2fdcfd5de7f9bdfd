// What carries a run: training in this process (session.ts), or by supervised workers (supervised-session.ts). The flow
// of a run (run.ts) does not know which.
import type { CheckpointError } from '@hearth/torch'
import type { LanguageModel } from '../models/index.js'
import type { HeldOutLoss } from './held-out.js'
import type { Step } from './trainer.js'

export interface Engine {
  /** Steps done so far. */
  readonly step: number
  /** Whether this process writes the run's logs; all do that are alone. */
  readonly leads?: boolean
  /** Over the weights of the step just done. */
  readonly model: LanguageModel
  /** Does steps until `last` of them are done; stop by leaving the loop, always between two steps. */
  steps(last: number): AsyncGenerator<Step, void, void>
  /**
   * Sees to a durable checkpoint of the step just done, unless there is one.
   * @param options.wait until it is on disk; otherwise it may be written while training goes on
   * @returns the error of a disk that refuses
   */
  save(options: { wait: boolean }): Promise<CheckpointError | undefined>
  /** Loss on held-out text; undefined when the run holds none back. */
  evaluate(maxTokens: number | undefined, signal?: AbortSignal): Promise<HeldOutLoss | undefined>
  /** Writes the model as a Hugging Face folder inside the run, tokenizer included; returns the folder. */
  export(): Promise<string>
  /** Ends what was started for the run. */
  close(): Promise<void>
}
