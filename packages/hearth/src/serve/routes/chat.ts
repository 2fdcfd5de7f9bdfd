// POST /v1/chat/completions: the next message of a conversation, whole or in pieces.
import { randomUUID } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { badRequest, parseBody } from '../api-error.js'
import type { ServedModel } from '../catalog.js'
import { chatLogprobs, type ChatLogprobs } from '../chat/chat-logprobs.js'
import { readConversation, type Conversation } from '../chat/conversation.js'
import { ToolCallReader, type ToolCall } from '../chat/tool-calls.js'
import { EventStream } from '../event-stream.js'
import { roomFor } from '../prompts.js'
import { chatSchema, type ChatRequest } from '../schemas/chat.js'
import type { ShownToken, TextEnding, TextPiece } from '../text-pieces.js'
import { samplingOf, stopsOf, type TextJob } from '../writing.js'
import { clientGone, unixSeconds, type RoutePlugin, type ServerContext } from './route.js'
import { usageOf } from './usage.js'

export const chat: RoutePlugin = (app, context) => {
  app.post('/v1/chat/completions', async (request, reply) => {
    const body = parseBody(chatSchema, request.body)
    if (body.stream_options !== undefined && body.stream !== true)
      throw badRequest('is only allowed with stream: true', 'stream_options')
    const model = context.catalog.get(body.model)
    const conversation = readConversation(model, body)
    const choices = Array.from({ length: body.n ?? 1 }, () => new Answer(model, conversation, body))
    const jobs = jobsOf(body, model, conversation)
    const header = { id: `chatcmpl-${randomUUID()}`, created: unixSeconds(), model: model.name }
    return body.stream === true
      ? await stream(context, choices, jobs, body, header, reply)
      : await whole(context, choices, jobs, header, reply)
  })
}

interface Header {
  id: string
  created: number
  model: string
}

function jobsOf(body: ChatRequest, model: ServedModel, { prompt, form, tools }: Conversation): TextJob[] {
  const asked = body.max_completion_tokens ?? body.max_tokens
  if (asked === 0) throw badRequest('must be at least 1', 'max_completion_tokens')
  const maxTokens = roomFor(model, prompt.length, asked, 'messages')
  const logprobs = body.logprobs === true ? { logprobs: body.top_logprobs ?? 0 } : {}
  return Array.from({ length: body.n ?? 1 }, (_, choice) => ({
    model,
    prompt,
    maxTokens,
    sampling: samplingOf(body, model, choice),
    ...stopsOf(body, model),
    ...logprobs,
    form,
    showSpecial: tools.length > 0 && form === undefined,
  }))
}

/** What an answer gives at a time. */
interface Delta {
  content: string
  calls: readonly ToolCall[]
}

/** One answer while it is written. */
class Answer {
  readonly #model: ServedModel
  readonly #conversation: Conversation
  readonly #reader: ToolCallReader | undefined
  readonly #top: number | undefined
  readonly #parallel: boolean
  #tokens: ShownToken[] = []
  #called = false

  constructor(model: ServedModel, conversation: Conversation, body: ChatRequest) {
    const { tools } = conversation
    this.#model = model
    this.#conversation = conversation
    this.#reader = tools.length > 0 ? new ToolCallReader(tools.map((tool) => tool.function.name)) : undefined
    this.#top = body.logprobs === true ? (body.top_logprobs ?? 0) : undefined
    this.#parallel = body.parallel_tool_calls ?? true
  }

  add({ text, tokens }: TextPiece): Delta {
    if (this.#top !== undefined) this.#tokens.push(...tokens)
    return { content: this.#reader?.push(text) ?? text, calls: [] }
  }

  /** What was held back. */
  end(): Delta {
    if (this.#reader === undefined) return { content: '', calls: [] }
    const { text, calls } = this.#reader.end()
    const allowed = this.#parallel && !this.#conversation.mustCall ? calls : calls.slice(0, 1)
    this.#called = allowed.length > 0
    return { content: text, calls: allowed }
  }

  finishReason(ending: TextEnding): string {
    return this.#called ? 'tool_calls' : ending.finishReason
  }

  /** Of the tokens since the last time; null where none were asked for. */
  takeLogprobs(): ChatLogprobs | null {
    if (this.#top === undefined) return null
    const tokens = this.#tokens
    this.#tokens = []
    return chatLogprobs(this.#model.tokenizer, tokens, this.#top)
  }
}

async function whole(
  { writer }: ServerContext,
  answers: readonly Answer[],
  jobs: readonly TextJob[],
  header: Header,
  reply: FastifyReply,
) {
  const texts = answers.map(() => '')
  const calls: (readonly ToolCall[])[] = answers.map(() => [])
  const endings: TextEnding[] = []
  for await (const { choice, piece, ending } of writer.write(jobs, clientGone(reply))) {
    const answer = answers[choice]!
    const delta = piece ? answer.add(piece) : answer.end()
    texts[choice] = (texts[choice] ?? '') + delta.content
    if (ending) {
      calls[choice] = delta.calls
      endings[choice] = ending
    }
  }
  return {
    ...header,
    object: 'chat.completion',
    choices: answers.map((answer, index) => ({
      index,
      message: {
        role: 'assistant',
        content: calls[index]!.length > 0 && texts[index]!.trim() === '' ? null : texts[index],
        refusal: null,
        ...(calls[index]!.length > 0 && { tool_calls: calls[index] }),
      },
      logprobs: answer.takeLogprobs(),
      finish_reason: answer.finishReason(endings[index]!),
    })),
    usage: usageOf([jobs[0]!.prompt.length], endings),
  }
}

async function stream(
  { writer }: ServerContext,
  answers: readonly Answer[],
  jobs: readonly TextJob[],
  body: ChatRequest,
  header: Header,
  reply: FastifyReply,
) {
  const events = new EventStream(reply)
  const withUsage = body.stream_options?.include_usage === true
  const chunk = { ...header, object: 'chat.completion.chunk' }
  const begun = new Set<number>()
  const endings: TextEnding[] = []
  const send = async (index: number, delta: object, finish_reason: string | null) => {
    const role = begun.has(index) ? {} : { role: 'assistant' }
    begun.add(index)
    const choice = { index, delta: { ...role, ...delta }, logprobs: answers[index]!.takeLogprobs(), finish_reason }
    await events.send({ ...chunk, choices: [choice], ...(withUsage && { usage: null }) })
  }
  try {
    for await (const { choice, piece, ending } of writer.write(jobs, clientGone(reply))) {
      const answer = answers[choice]!
      const { content, calls } = piece ? answer.add(piece) : answer.end()
      if (content !== '') await send(choice, { content }, null)
      if (ending === undefined) continue
      for (const [index, call] of calls.entries()) await send(choice, { tool_calls: [{ index, ...call }] }, null)
      endings[choice] = ending
      await send(choice, {}, answer.finishReason(ending))
    }
    if (withUsage) await events.send({ ...chunk, choices: [], usage: usageOf([jobs[0]!.prompt.length], endings) })
    await events.send('[DONE]')
    events.end()
  } catch (error) {
    if (!events.open) throw error
    await events.fail(error)
  }
  return reply
}
