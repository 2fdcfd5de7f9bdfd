// The fields that requests for text share: how tokens are chosen and when the text ends. Every number has its range.
import { z } from 'zod'

/** More choices than this of one prompt are a mistake rather than a wish. */
export const MOST_CHOICES = 16
/** Alternatives that are listed for a token. */
export const MOST_LOGPROBS = 20
const MOST_STOPS = 16
const LONGEST_STOP = 256
const LARGEST_SEED = Number.MAX_SAFE_INTEGER

const stopText = z.string().min(1).max(LONGEST_STOP)

/** `null` is how some clients leave a field out. */
export const optional = <S extends z.ZodType>(schema: S) => schema.nullish().transform((value) => value ?? undefined)

export const samplingFields = {
  model: z.string().min(1).max(512),
  temperature: optional(z.number().min(0).max(10)),
  top_p: optional(z.number().gt(0).max(1)),
  top_k: optional(z.int().min(-1).max(1_000_000)),
  min_p: optional(z.number().min(0).max(1)),
  frequency_penalty: optional(z.number().min(-2).max(2)),
  presence_penalty: optional(z.number().min(-2).max(2)),
  repetition_penalty: optional(z.number().gt(0).max(10)),
  logit_bias: optional(z.record(z.string().regex(/^\d{1,9}$/, 'a token id'), z.number().min(-100).max(100))).refine(
    (bias) => bias === undefined || Object.keys(bias).length <= 1024,
    'at most 1024 tokens',
  ),
  seed: optional(z.int().min(-LARGEST_SEED).max(LARGEST_SEED)),
  stop: optional(z.union([stopText, z.array(stopText).max(MOST_STOPS)])),
  n: optional(z.int().min(1).max(MOST_CHOICES)),
  stream: optional(z.boolean()),
  stream_options: optional(z.object({ include_usage: optional(z.boolean()) })),
  ignore_eos: optional(z.boolean()),
}

export type SamplingFields = z.output<z.ZodObject<typeof samplingFields>>

export const maxTokensField = optional(z.int().min(0).max(10_000_000))

/** A text, or the ids of one. */
export const idsSchema = z
  .array(
    z
      .int()
      .min(0)
      .max(2 ** 31 - 1),
  )
  .min(1)
  .max(1_000_000)

/** A text, its ids, or many of either. */
export const textsSchema = (most: number) =>
  z
    .union([z.string(), idsSchema, z.array(z.string()).min(1).max(most), z.array(idsSchema).min(1).max(most)], {
      error: `must be a text, a list of token ids, or a list of at most ${most} of either`,
    })
    .transform((value): (string | number[])[] =>
      typeof value === 'string'
        ? [value]
        : typeof value[0] === 'number'
          ? [value as number[]]
          : (value as string[] | number[][]),
    )

const DEEPEST = 64

/** JSON as it is, but not so deep that reading it would be work of its own. */
export const plainObject = z
  .record(z.string(), z.unknown())
  .refine((value) => isShallow(value), `must not be nested deeper than ${DEEPEST} levels`)

function isShallow(value: unknown): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) return false
    level = level.flatMap((inner) =>
      typeof inner === 'object' && inner !== null ? (Object.values(inner) as unknown[]) : [],
    )
  }
  return true
}
