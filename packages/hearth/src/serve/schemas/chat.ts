// The body of POST /v1/chat/completions. What models here cannot do (pictures, sound) is refused and not left out.
import { z } from 'zod'
import { MOST_LOGPROBS, maxTokensField, optional, plainObject, samplingFields } from './sampling.js'

const MOST_MESSAGES = 4096
const MOST_TOOLS = 128

const textPart = z.object({ type: z.literal(['text', 'input_text', 'output_text']), text: z.string() })
const contentSchema = z
  .union([z.string(), z.array(textPart).max(MOST_MESSAGES)], {
    error: 'must be a text or a list of text parts; these models read text alone',
  })
  .transform((content) => (typeof content === 'string' ? content : content.map(({ text }) => text).join('')))

const toolCallSchema = z.object({
  id: optional(z.string().max(256)),
  type: z.literal('function'),
  function: z.object({ name: z.string().max(256), arguments: z.string() }),
})

export const messageSchema = z
  .object({
    role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
    content: optional(contentSchema),
    name: optional(z.string().max(256)),
    tool_calls: optional(z.array(toolCallSchema).max(MOST_TOOLS)),
    tool_call_id: optional(z.string().max(256)),
  })
  .refine(({ content, tool_calls }) => content !== undefined || tool_calls !== undefined, {
    path: ['content'],
    message: 'is missing',
  })

const toolSchema = z.object({
  type: z.literal('function'),
  function: z.object({
    name: z.string().regex(/^[\w.-]{1,128}$/, 'letters, digits, _, . and - alone, at most 128'),
    description: optional(z.string()),
    parameters: optional(plainObject),
    strict: optional(z.boolean()),
  }),
})

export const responseFormatSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    json_schema: z.object({ name: optional(z.string()), schema: optional(plainObject), strict: optional(z.boolean()) }),
  }),
])

export const chatSchema = z
  .object({
    ...samplingFields,
    messages: z.array(messageSchema).min(1).max(MOST_MESSAGES),
    max_tokens: maxTokensField,
    max_completion_tokens: maxTokensField,
    logprobs: optional(z.boolean()),
    top_logprobs: optional(z.int().min(0).max(MOST_LOGPROBS)),
    response_format: optional(responseFormatSchema),
    tools: optional(z.array(toolSchema).max(MOST_TOOLS)),
    tool_choice: optional(
      z.union([
        z.enum(['none', 'auto', 'required']),
        z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) }),
      ]),
    ),
    parallel_tool_calls: optional(z.boolean()),
    chat_template_kwargs: optional(plainObject),
  })
  .refine(({ top_logprobs, logprobs }) => top_logprobs === undefined || logprobs === true, {
    path: ['top_logprobs'],
    message: 'needs logprobs: true',
  })

export type ChatRequest = z.output<typeof chatSchema>
export type ChatMessage = z.output<typeof messageSchema>
export type ChatTool = z.output<typeof toolSchema>
export type ResponseFormat = z.output<typeof responseFormatSchema>
