// `spark`: about 10M parameters in LLaMA's form, for a laptop and a few megabytes of text. Sizes are ours.
import type { RunConfigInput } from 'hearth/train'
import { sourcesOf } from './recipe.js'

/** Trains `spark` and its own vocabulary of 8192 tokens: a first model of one's own text, in an hour or less. */
export function spark(data: readonly string[]): RunConfigInput {
  return {
    name: 'spark',
    steps: 4000,
    batch: 8,
    sequenceLength: 256,
    model: { preset: 'spark' },
    tokenizer: { vocabularySize: 8192 },
    data: { sources: sourcesOf(data) },
    optimizer: { name: 'adamw', learningRate: 1e-3 },
    schedule: { kind: 'wsd', warmupSteps: 50, minRatio: 0, decayFraction: 0.5 },
  }
}
