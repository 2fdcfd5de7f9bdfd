// POST /v1/completions: what follows texts, or ids. With `echo` and `logprobs` the prompt itself is scored: how
// lm-evaluation-harness measures a model through an API.
import { randomUUID } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { badRequest, parseBody } from '../api-error.js'
import type { ServedModel } from '../catalog.js'
import { EventStream } from '../event-stream.js'
import type { ScoredToken } from '../host/messages.js'
import { promptIds, roomFor } from '../prompts.js'
import { completionsSchema, type CompletionsRequest } from '../schemas/completions.js'
import type { TextEnding, TextPiece } from '../text-pieces.js'
import { samplingOf, stopsOf, type TextJob } from '../writing.js'
import { LegacyLogprobs } from './legacy-logprobs.js'
import { clientGone, unixSeconds, type RoutePlugin, type ServerContext } from './route.js'
import { usageOf } from './usage.js'

/** OpenAI's. */
const DEFAULT_TOKENS = 16

export const completions: RoutePlugin = (app, context) => {
  app.post('/v1/completions', async (request, reply) => {
    const body = parseBody(completionsSchema, request.body)
    const model = context.catalog.get(body.model)
    const choices = choicesOf(body, model)
    const header = { id: `cmpl-${randomUUID()}`, object: 'text_completion', created: unixSeconds(), model: model.name }
    return body.stream === true
      ? await stream(context, choices, body, header, reply)
      : await whole(context, choices, header, reply)
  })
}

interface Header {
  id: string
  object: string
  created: number
  model: string
}

/** One choice while it is written. */
class Choice {
  readonly job: TextJob
  readonly echoed: string
  readonly logprobs: LegacyLogprobs | undefined
  #prompt: readonly ScoredToken[] = []
  #begun = false

  constructor(job: TextJob, echo: boolean) {
    const { model, prompt, logprobs } = job
    this.job = { ...job, onPrompt: (tokens) => (this.#prompt = tokens) }
    this.echoed = echo ? model.tokenizer.decode(prompt) : ''
    this.logprobs = logprobs === undefined ? undefined : new LegacyLogprobs(model.tokenizer, logprobs)
  }

  /** What a piece adds to the answer; the prompt comes with the first. */
  add({ text, tokens }: TextPiece): string {
    const first = this.begin()
    this.logprobs?.add(tokens)
    return first + text
  }

  begin(): string {
    if (this.#begun) return ''
    this.#begun = true
    this.logprobs?.add(this.#prompt)
    return this.echoed
  }
}

function choicesOf(body: CompletionsRequest, model: ServedModel): Choice[] {
  const { echo = false, logprobs, n = 1 } = body
  if (echo && body.stop !== undefined && logprobs !== undefined && body.max_tokens === 0)
    throw badRequest('has no meaning when nothing is written', 'stop')
  return body.prompt.flatMap((given, i) => {
    const param = body.prompt.length === 1 ? 'prompt' : `prompt[${i}]`
    const prompt = promptIds(model, given, { param })
    const asked = body.max_tokens ?? Math.min(DEFAULT_TOKENS, model.facts.contextLength - prompt.length)
    const maxTokens = roomFor(model, prompt.length, asked, param)
    const scores = logprobs === undefined ? {} : { logprobs, ...(echo && { promptLogprobs: logprobs }) }
    // The one token that harnesses ask for to have the prompt scored counts also when it would end the text.
    const stops = stopsOf(
      echo && logprobs !== undefined && maxTokens <= 1 ? { ...body, ignore_eos: true } : body,
      model,
    )
    return Array.from({ length: n }, (_, k) => {
      const sampling = samplingOf(body, model, i * n + k)
      return new Choice({ model, prompt, maxTokens, sampling, ...stops, ...scores }, echo)
    })
  })
}

const promptTokensOf = (choices: readonly Choice[]): number[] => [
  ...new Map(choices.map(({ job }) => [job.prompt, job.prompt.length])).values(),
]

async function whole({ writer }: ServerContext, choices: readonly Choice[], header: Header, reply: FastifyReply) {
  const texts = choices.map(() => '')
  const endings: TextEnding[] = []
  for await (const { choice, piece, ending } of writer.write(jobsOf(choices), clientGone(reply))) {
    const added = piece ? choices[choice]!.add(piece) : choices[choice]!.begin()
    texts[choice] = (texts[choice] ?? '') + added
    if (ending) endings[choice] = ending
  }
  return {
    ...header,
    choices: choices.map(({ logprobs }, index) => ({
      text: texts[index],
      index,
      logprobs: logprobs?.take() ?? null,
      finish_reason: endings[index]!.finishReason,
    })),
    usage: usageOf(promptTokensOf(choices), endings),
  }
}

async function stream(
  { writer }: ServerContext,
  choices: readonly Choice[],
  body: CompletionsRequest,
  header: Header,
  reply: FastifyReply,
) {
  const events = new EventStream(reply)
  const endings: TextEnding[] = []
  const withUsage = body.stream_options?.include_usage === true
  const send = (index: number, text: string, finish_reason: string | null) => {
    const logprobs = choices[index]!.logprobs?.take() ?? null
    return events.send({
      ...header,
      choices: [{ text, index, logprobs, finish_reason }],
      ...(withUsage && { usage: null }),
    })
  }
  try {
    for await (const { choice, piece, ending } of writer.write(jobsOf(choices), clientGone(reply))) {
      if (piece) await send(choice, choices[choice]!.add(piece), null)
      else {
        endings[choice] = ending
        await send(choice, choices[choice]!.begin(), ending.finishReason)
      }
    }
    if (withUsage) await events.send({ ...header, choices: [], usage: usageOf(promptTokensOf(choices), endings) })
    await events.send('[DONE]')
    events.end()
  } catch (error) {
    if (!events.open) throw error
    await events.fail(error)
  }
  return reply
}

const jobsOf = (choices: readonly Choice[]): TextJob[] => choices.map(({ job }) => job)
