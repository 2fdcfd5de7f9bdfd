// The body of POST /v1/completions, as OpenAI's own and lm-evaluation-harness send it.
import { z } from 'zod'
import { MOST_LOGPROBS, maxTokensField, optional, samplingFields, textsSchema } from './sampling.js'

/** Prompts in one request. */
export const MOST_PROMPTS = 256

export const completionsSchema = z
  .object({
    ...samplingFields,
    prompt: textsSchema(MOST_PROMPTS),
    max_tokens: maxTokensField,
    echo: optional(z.boolean()),
    // Some clients send `true`.
    logprobs: optional(z.union([z.int().min(0).max(MOST_LOGPROBS), z.boolean()])).transform((value) =>
      typeof value === 'boolean' ? (value ? 1 : undefined) : value,
    ),
    best_of: optional(z.int().min(1).max(20)),
    suffix: optional(z.string()),
  })
  .refine(({ best_of, n }) => best_of === undefined || best_of === (n ?? 1), {
    path: ['best_of'],
    message: 'must equal n: all texts that are made are given',
  })
  .refine(({ suffix }) => suffix === undefined || suffix === '', {
    path: ['suffix'],
    message: 'is not supported: these models write what follows a text',
  })
  .refine(({ max_tokens, echo }) => max_tokens !== 0 || echo === true, {
    path: ['max_tokens'],
    message: 'may be 0 only with echo',
  })

export type CompletionsRequest = z.output<typeof completionsSchema>
