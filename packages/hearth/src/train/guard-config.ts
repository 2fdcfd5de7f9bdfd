// The part of a run's configuration that says when its numbers or its state count as wrong (judge.ts, bank-hashes.ts).
import { z } from 'zod'

const positiveInteger = z.int().positive()

export const guard = z.strictObject({
  window: z.int().min(8).max(1000).default(128).describe('losses that a loss spike is measured against'),
  spikeDeviations: z
    .number()
    .min(0)
    .default(6)
    .describe('deviations above their mean from which on a loss is a spike; 0 for never'),
  rewindAfter: positiveInteger
    .default(3)
    .describe(
      'batches in a row with a spike, or a gradient that is not finite, until the run goes back to a checkpoint',
    ),
  skipBatches: z
    .int()
    .min(0)
    .default(200)
    .describe('batches left out when a run goes back, from the checkpoint on; at least all up to the trouble'),
  hashEvery: z
    .int()
    .min(0)
    .default(100)
    .describe('steps between states that are hashed twice, against memory that flips bits; 0 for never'),
  calmSteps: positiveInteger
    .default(100)
    .describe('steps after trouble that count as progress; trouble sooner after going back blames the checkpoint'),
})
