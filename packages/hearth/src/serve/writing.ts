// One request's texts in the works: from the fields of a request to what the model is told, and several texts at once as one
// stream. What routes do with the pieces is theirs.
import { randomInt } from 'node:crypto'
import type { Admission } from './admission.js'
import type { ServedModel } from './catalog.js'
import type { GenerationRequest, Sampling, ScoredToken, TextForm } from './host/messages.js'
import type { ServerMetrics } from './metrics.js'
import type { SamplingFields } from './schemas/sampling.js'
import { textPieces, type TextEnding, type TextPiece } from './text-pieces.js'

/** One text to write. */
export interface TextJob {
  model: ServedModel
  prompt: readonly number[]
  maxTokens: number
  sampling: Sampling
  stop: readonly string[]
  stopTokens: readonly number[]
  logprobs?: number | undefined
  promptLogprobs?: number | undefined
  form?: TextForm | undefined
  showSpecial?: boolean
  onPrompt?: (tokens: readonly ScoredToken[]) => void
}

type ChoiceFields = Partial<Omit<SamplingFields, 'model' | 'stream' | 'stream_options'>>

/** How tokens are chosen: as the request says, else as the model's makers do, else OpenAI's defaults. */
export function samplingOf(fields: ChoiceFields, model: ServedModel, choice: number): Sampling {
  const own = model.facts.generation
  const { seed } = fields
  const topK = fields.top_k ?? own.topK ?? 0
  return {
    temperature: fields.temperature ?? own.temperature ?? 1,
    topK: Math.max(0, topK),
    topP: fields.top_p ?? own.topP ?? 1,
    minP: fields.min_p ?? own.minP ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? own.repetitionPenalty ?? 1,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    presencePenalty: fields.presence_penalty ?? 0,
    logitBias: biasOf(fields.logit_bias, model),
    // Each choice has chance of its own; the same request gives the same choices.
    seed: seed === undefined ? randomInt(2 ** 48 - 1) : (Math.abs(seed) + choice) % Number.MAX_SAFE_INTEGER,
  }
}

function biasOf(bias: Record<string, number> = {}, { facts }: ServedModel): Sampling['logitBias'] {
  const entries = Object.entries(bias).map(([id, value]) => [Number(id), value] as const)
  return Object.fromEntries(entries.filter(([id]) => id < facts.vocabularySize))
}

/** Stop strings and tokens of a request. */
export function stopsOf(
  { stop, ignore_eos }: ChoiceFields,
  { facts }: ServedModel,
): Pick<TextJob, 'stop' | 'stopTokens'> {
  const texts = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop
  return { stop: texts, stopTokens: ignore_eos === true ? [] : facts.endTokens }
}

/** A piece of one of several texts, or how it ended. */
export type ChoicePiece = { choice: number } & (
  { piece: TextPiece; ending?: never } | { ending: TextEnding; piece?: never }
)

/** Writes texts for requests, within the server's limits and counted in its metrics. */
export class Writer {
  readonly #admission: Admission
  readonly #metrics: ServerMetrics

  constructor(admission: Admission, metrics: ServerMetrics) {
    this.#admission = admission
    this.#metrics = metrics
  }

  /**
   * Writes all texts at once; pieces come in the order in which they are made. Leaving the loop ends all.
   * @throws ApiError when there are too many, and whatever ends one of them
   */
  async *write(jobs: readonly TextJob[], signal: AbortSignal): AsyncGenerator<ChoicePiece, void, void> {
    const place = this.#admission.enter(jobs.length)
    try {
      yield* merged(jobs.map((job) => this.#one(job, signal)))
    } finally {
      place[Symbol.dispose]()
    }
  }

  async *#one(job: TextJob, signal: AbortSignal): AsyncGenerator<TextPiece, TextEnding, void> {
    const { model, prompt, sampling, stop, stopTokens, maxTokens } = job
    const request: GenerationRequest = {
      prompt,
      maxTokens,
      sampling,
      stopTokens,
      logprobs: job.logprobs,
      promptLogprobs: job.promptLogprobs,
      form: job.form,
      adapter: model.adapter,
    }
    const measured = this.#metrics.text(model.name)
    const { showSpecial = false, onPrompt } = job
    const options = { stop, showSpecial, onTokens: measured.tokens, ...(onPrompt && { onPrompt }) }
    const pieces = textPieces(model.host.generate(request, signal), model.tokenizer, options)
    let ending: TextEnding | undefined
    try {
      ending = yield* pieces
      return ending
    } finally {
      measured.end(prompt.length, ending?.finishReason)
    }
  }
}

/** Several streams as one, in the order in which they give. */
async function* merged(
  streams: readonly AsyncGenerator<TextPiece, TextEnding, void>[],
): AsyncGenerator<ChoicePiece, void, void> {
  const next = async (choice: number) => ({ choice, result: await streams[choice]!.next() })
  const waiting = new Map(streams.map((_, choice) => [choice, next(choice)]))
  // One that fails while another is looked at is heard of in its turn.
  for (const each of waiting.values()) each.catch(() => undefined)
  try {
    while (waiting.size > 0) {
      const { choice, result } = await Promise.race(waiting.values())
      waiting.delete(choice)
      if (result.done) yield { choice, ending: result.value }
      else {
        // Asked before the piece is used: the model is not kept waiting by a client.
        const following = next(choice)
        following.catch(() => undefined)
        waiting.set(choice, following)
        yield { choice, piece: result.value }
      }
    }
  } finally {
    await Promise.allSettled(streams.map((stream) => stream.return({} as TextEnding)))
  }
}
