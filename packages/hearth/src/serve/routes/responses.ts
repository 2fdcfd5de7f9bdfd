// POST /v1/responses, its text part: one message from a text or a conversation, whole or as named events. Nothing is kept
// between calls, and the answer says so.
import { randomUUID } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { badRequest, parseBody } from '../api-error.js'
import { readConversation } from '../chat/conversation.js'
import { EventStream } from '../event-stream.js'
import { roomFor } from '../prompts.js'
import type { ChatMessage, ResponseFormat } from '../schemas/chat.js'
import { responsesSchema, type ResponsesRequest } from '../schemas/responses.js'
import type { TextEnding } from '../text-pieces.js'
import { samplingOf, stopsOf, type TextJob } from '../writing.js'
import { clientGone, unixSeconds, type RoutePlugin, type ServerContext } from './route.js'

export const responses: RoutePlugin = (app, context) => {
  app.post('/v1/responses', async (request, reply) => {
    const body = parseBody(responsesSchema, request.body)
    const job = jobOf(context, body)
    const response = new ResponseObject(body, job)
    return body.stream === true
      ? await stream(context, job, response, reply)
      : await whole(context, job, response, reply)
  })
}

function jobOf({ catalog }: ServerContext, body: ResponsesRequest): TextJob {
  if (body.max_output_tokens === 0) throw badRequest('must be at least 1', 'max_output_tokens')
  const model = catalog.get(body.model)
  const instructions: ChatMessage[] = body.instructions === undefined ? [] : [message('system', body.instructions)]
  const given = typeof body.input === 'string' ? [message('user', body.input)] : body.input
  const { prompt, form } = readConversation(model, {
    messages: [...instructions, ...given],
    tools: undefined,
    tool_choice: undefined,
    parallel_tool_calls: undefined,
    chat_template_kwargs: undefined,
    response_format: formatOf(body),
  })
  const maxTokens = roomFor(model, prompt.length, body.max_output_tokens, 'input')
  return { model, prompt, maxTokens, form, sampling: samplingOf(body, model, 0), ...stopsOf({}, model) }
}

const message = (role: ChatMessage['role'], content: string): ChatMessage => ({
  role,
  content,
  name: undefined,
  tool_calls: undefined,
  tool_call_id: undefined,
})

function formatOf({ text }: ResponsesRequest): ResponseFormat | undefined {
  const format = text?.format
  if (format?.type !== 'json_schema') return format
  const { name, schema, strict } = format
  return { type: 'json_schema', json_schema: { name, schema, strict } }
}

/** The answer as an object, at each stage of its being made. */
class ResponseObject {
  readonly itemId = `msg_${randomUUID()}`
  readonly #body: ResponsesRequest
  readonly #job: TextJob
  readonly #header = { id: `resp_${randomUUID()}`, object: 'response', created_at: unixSeconds() }

  constructor(body: ResponsesRequest, job: TextJob) {
    this.#body = body
    this.#job = job
  }

  started(): object {
    return { ...this.#common('in_progress'), output: [], usage: null, incomplete_details: null }
  }

  finished(text: string, ending: TextEnding): object {
    const incomplete = ending.finishReason === 'length'
    const input = this.#job.prompt.length
    return {
      ...this.#common(incomplete ? 'incomplete' : 'completed'),
      incomplete_details: incomplete ? { reason: 'max_output_tokens' } : null,
      output: [this.item(text, incomplete ? 'incomplete' : 'completed')],
      usage: {
        input_tokens: input,
        input_tokens_details: { cached_tokens: ending.cachedTokens },
        output_tokens: ending.tokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: input + ending.tokens,
      },
    }
  }

  item(text: string | undefined, status: string): object {
    const content = text === undefined ? [] : [part(text)]
    return { id: this.itemId, type: 'message', role: 'assistant', status, content }
  }

  #common(status: string): object {
    const { metadata = {}, instructions = null, max_output_tokens = null, text } = this.#body
    const { sampling, model } = this.#job
    return {
      ...this.#header,
      status,
      model: model.name,
      error: null,
      instructions,
      max_output_tokens,
      metadata,
      parallel_tool_calls: false,
      previous_response_id: null,
      store: false,
      temperature: sampling.temperature,
      top_p: sampling.topP,
      text: { format: text?.format ?? { type: 'text' } },
      tool_choice: 'none',
      tools: [],
    }
  }
}

const part = (text: string) => ({ type: 'output_text', text, annotations: [], logprobs: [] })

async function whole({ writer }: ServerContext, job: TextJob, response: ResponseObject, reply: FastifyReply) {
  let text = ''
  let last: TextEnding | undefined
  for await (const { piece, ending } of writer.write([job], clientGone(reply))) {
    text += piece?.text ?? ''
    last = ending
  }
  return response.finished(text, last!)
}

async function stream({ writer }: ServerContext, job: TextJob, response: ResponseObject, reply: FastifyReply) {
  const events = new EventStream(reply)
  const where = { item_id: response.itemId, output_index: 0, content_index: 0 }
  let count = 0
  const send = (type: string, fields: object) => events.send({ type, sequence_number: count++, ...fields }, type)
  let text = ''
  try {
    for await (const { piece, ending } of writer.write([job], clientGone(reply))) {
      if (count === 0) await begin(send, response, where)
      if (piece) {
        text += piece.text
        if (piece.text !== '') await send('response.output_text.delta', { ...where, delta: piece.text, logprobs: [] })
      } else await finish(send, response, where, text, ending)
    }
    events.end()
  } catch (error) {
    if (!events.open) throw error
    await events.fail(error)
  }
  return reply
}

type Send = (type: string, fields: object) => Promise<void>

async function begin(send: Send, response: ResponseObject, where: object): Promise<void> {
  await send('response.created', { response: response.started() })
  await send('response.in_progress', { response: response.started() })
  await send('response.output_item.added', { output_index: 0, item: response.item(undefined, 'in_progress') })
  await send('response.content_part.added', { ...where, part: part('') })
}

async function finish(send: Send, response: ResponseObject, where: object, text: string, ending: TextEnding) {
  const incomplete = ending.finishReason === 'length'
  await send('response.output_text.done', { ...where, text, logprobs: [] })
  await send('response.content_part.done', { ...where, part: part(text) })
  const item = response.item(text, incomplete ? 'incomplete' : 'completed')
  await send('response.output_item.done', { output_index: 0, item })
  await send(incomplete ? 'response.incomplete' : 'response.completed', { response: response.finished(text, ending) })
}
