// The body of POST /v1/responses, its text part: one call, nothing is kept between calls.
import { z } from 'zod'
import { messageSchema } from './chat.js'
import { maxTokensField, optional, plainObject, samplingFields } from './sampling.js'

const { model, temperature, top_p, seed, stream } = samplingFields

/** A message of the input; the kind may be left out. */
const inputItem = z.object({ type: optional(z.literal('message')) }).and(messageSchema)

const formatSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    name: optional(z.string()),
    schema: plainObject,
    strict: optional(z.boolean()),
  }),
])

export const responsesSchema = z.object({
  model,
  temperature,
  top_p,
  seed,
  stream,
  input: z.union([z.string(), z.array(inputItem).min(1).max(4096)], {
    error: 'must be a text or a list of messages of text',
  }),
  instructions: optional(z.string()),
  max_output_tokens: maxTokensField,
  text: optional(z.object({ format: optional(formatSchema) })),
  metadata: optional(z.record(z.string().max(64), z.string().max(512))),
  previous_response_id: optional(z.string()).refine((id) => id === undefined, {
    message: 'is not supported: responses are not kept; send the whole conversation as input',
  }),
  background: optional(z.boolean()).refine((flag) => flag !== true, { message: 'is not supported' }),
  tools: optional(z.array(z.unknown())).refine((tools) => (tools?.length ?? 0) === 0, {
    message: 'are not supported here; /v1/chat/completions has them',
  }),
})

export type ResponsesRequest = z.output<typeof responsesSchema>
