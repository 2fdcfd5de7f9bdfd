// `ember`: about 30M parameters, the larger of our two laptop sizes.
import type { RunConfigInput } from 'hearth/train'
import { spark } from './spark.js'

/** `spark` at three times the size, on longer sequences: for tens of megabytes and a night. */
export function ember(data: readonly string[]): RunConfigInput {
  return {
    ...spark(data),
    name: 'ember',
    steps: 12_000,
    batch: 16,
    slots: 2,
    sequenceLength: 512,
    model: { preset: 'ember' },
    tokenizer: { vocabularySize: 8192 },
  }
}
