// The quickstart: what `npm start` trains. `spark` on the State of the Union addresses and Moby-Dick, in minutes.
import type { RunConfigInput } from 'hearth/train'
import { spark } from './spark.js'

/** `spark` for a few minutes on two cores; the command chooses the steps that fit the time (`--set steps=N` to say). */
export function quickstart(data: readonly string[]): RunConfigInput {
  const base = spark(data)
  return {
    ...base,
    name: 'quickstart',
    steps: 1200,
    batch: 4,
    sequenceLength: 128,
    every: { log: 10, evaluate: 200, checkpoint: 400 },
    samplePrompt: 'The state of the Union is',
  }
}
