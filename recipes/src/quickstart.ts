// The quickstart: what `npm start` trains. `spark` on the State of the Union addresses and Moby-Dick, in minutes.
import type { RunConfigInput } from 'hearth/train'
import { addresses, novel } from './quickstart-corpus.js'
import { spark } from './spark.js'

/** `spark` for a few minutes on two cores. `steps` is the most: `hearth quickstart` does fewer where they take longer. */
export function quickstart(): RunConfigInput {
  return {
    ...spark([]),
    name: 'quickstart',
    steps: 2400,
    batch: 8,
    sequenceLength: 128,
    // Small batches make noisy second moments, so they are averaged longer; embeddings see each row seldom.
    optimizer: { name: 'adamw', learningRate: 1.4e-3, beta2: 0.98, embeddingLearningRateScale: 3 },
    schedule: { kind: 'wsd', warmupSteps: 30, minRatio: 0, decayFraction: 0.6 },
    data: {
      // What is held out, and measured, is addresses.
      sources: [
        { path: addresses().path, heldOutFraction: 0.04 },
        { path: novel().path, heldOutFraction: 0 },
      ],
    },
    every: { log: 10, evaluate: 500, checkpoint: 500 },
    evaluateTokens: 16_384,
    keepCheckpoints: 1,
    samplePrompt: 'The state of the Union is',
  }
}
