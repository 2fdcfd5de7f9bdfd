// The body of POST /v1/fine_tuning/jobs.
import { z } from 'zod'
import { optional } from './sampling.js'

/** OpenAI's "auto" is our default. */
const auto = <S extends z.ZodType>(schema: S) =>
  optional(z.union([z.literal('auto'), schema])).transform((value) => (value === 'auto' ? undefined : value))

const hyperparameters = z.object({
  n_epochs: auto(z.int().min(1).max(1000)),
  batch_size: auto(z.int().min(1).max(4096)),
  learning_rate_multiplier: auto(z.number().gt(0).max(1000)),
  beta: auto(z.number().gt(0).max(100)),
})

const method = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('supervised'),
    supervised: optional(z.object({ hyperparameters: optional(hyperparameters) })),
  }),
  z.object({ type: z.literal('dpo'), dpo: optional(z.object({ hyperparameters: optional(hyperparameters) })) }),
])

export const fineTuningSchema = z.object({
  model: z.string().min(1).max(512),
  training_file: z.string().min(1).max(256),
  validation_file: optional(z.string()).refine((id) => id === undefined, {
    message: 'is not supported: rows are held back from the training file',
  }),
  hyperparameters: optional(hyperparameters),
  method: optional(method),
  suffix: optional(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, - and _ alone, at most 64')),
  seed: optional(
    z
      .int()
      .min(0)
      .max(2 ** 31 - 1),
  ),
  metadata: optional(z.record(z.string().max(64), z.string().max(512))),
})

export type FineTuningRequest = z.output<typeof fineTuningSchema>
export type Hyperparameters = z.output<typeof hyperparameters>
