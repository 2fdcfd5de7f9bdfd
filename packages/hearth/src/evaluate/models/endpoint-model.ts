// A model behind an OpenAI-compatible endpoint. Continuations are scored by having the prompt echoed with log probabilities,
// as lm-evaluation-harness does; a chat endpoint gives none, and can only generate.
import { DataError } from '@hearth/torch'
import { z } from 'zod'
import type { Tokenizer } from '../../data/index.js'
import type { Likelihood } from '../scoring/metrics.js'
import { askEndpoint, parseEndpoint, type Endpoint } from './endpoint.js'
import { encode, encodePair, prefixToken, rollingPairs } from './evaluated-model.js'
import type { AskOptions, ContinuationRequest, EvaluatedModel, TextRequest, TokenPair } from './evaluated-model.js'

export interface EndpointModelOptions {
  /** @default OPENAI_API_KEY */
  key?: string | undefined
  /** With it prompts are sent as ids, and cut as the model's own; else as texts. */
  tokenizer?: Tokenizer | undefined
  /** Tokens that the model reads, where a tokenizer is given. @default 2048 */
  contextLength?: number
  /** Requests in flight at once. @default 8 */
  batchSize?: number
}

const models = z.object({ data: z.array(z.object({ id: z.string() })) })
const logprobs = z.object({
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).nullish(),
})
const completion = z.object({
  choices: z.array(z.object({ text: z.string(), logprobs: logprobs.nullish() })).min(1),
  usage: z.object({ prompt_tokens: z.int() }).nullish(),
})
const chat = z.object({ choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }) })).min(1) })
type Scored = z.infer<typeof logprobs>

/** The seed that the harness sends. */
const SEED = 1234
const MOST_COUNTED = 1000

export class EndpointModel implements EvaluatedModel {
  readonly name: string
  readonly kind: string
  readonly #at: Endpoint
  readonly #tokenizer: Tokenizer | undefined
  readonly #longest: number
  readonly #batchSize: number
  /** Tokens of contexts, as the endpoint counts them. */
  readonly #counted = new Map<string, Promise<number>>()

  private constructor(
    at: Endpoint,
    name: string,
    { tokenizer, contextLength = 2048, batchSize = 8 }: EndpointModelOptions,
  ) {
    this.name = name
    this.kind = at.isChat ? 'local-chat-completions' : 'local-completions'
    this.#at = at
    this.#tokenizer = tokenizer
    this.#longest = contextLength
    this.#batchSize = batchSize
  }

  /**
   * Asks the endpoint for its models, so that a wrong address, key or name shows before anything else.
   * @param word `http://HOST/v1#MODEL`; the name may be missing where there is one model
   * @throws HearthError when it does not answer or refuses; DataError when the name is missing or not there
   * @example
   * const model = await EndpointModel.open('http://127.0.0.1:8080/v1#spark')
   */
  static async open(word: string, options: EndpointModelOptions = {}): Promise<EndpointModel> {
    const at = parseEndpoint(word, options.key ?? process.env.OPENAI_API_KEY)
    const answer = models.safeParse(await askEndpoint(at, 'models', undefined, undefined))
    const names = answer.success ? answer.data.data.map(({ id }) => id) : []
    const name = at.model ?? (names.length === 1 ? names[0] : undefined)
    if (name === undefined || (answer.success && !names.includes(name)))
      throw new DataError(
        `${at.base} has ${names.length} models${name === undefined ? '' : `, and none is ${name}`}: ${names.slice(0, 10).join(', ')}`,
        {
          remedy: `name one: ${at.url.split('#')[0]}#${names[0] ?? 'NAME'}`,
        },
      )
    return new EndpointModel(at, name, options)
  }

  async continuations(requests: readonly ContinuationRequest[], options: AskOptions = {}): Promise<Likelihood[]> {
    this.#refuseChat()
    const tokenizer = this.#tokenizer
    return await this.#each(requests, options, async (request) =>
      tokenizer === undefined
        ? await this.#scoreText(request, options)
        : await this.#scoreIds(encodePair(tokenizer, request), options),
    )
  }

  async texts(texts: readonly string[], options: AskOptions = {}): Promise<number[]> {
    this.#refuseChat()
    const tokenizer = this.#tokenizer
    if (tokenizer === undefined)
      throw new DataError(
        `${this.name}: whole texts are cut into windows of tokens, and the endpoint does not say what its tokens are`,
        {
          remedy: 'give the tokenizer of the model: --tokenizer FOLDER',
        },
      )
    const prefix = prefixToken(tokenizer)
    return await this.#each(texts, options, async (text) => {
      let sum = 0
      for (const pair of rollingPairs(encode(tokenizer, text), prefix, this.#longest - 1))
        sum += (await this.#scoreIds(pair, options)).logprob
      return sum
    })
  }

  async generate(requests: readonly TextRequest[], options: AskOptions = {}): Promise<string[]> {
    return await this.#each(requests, options, async ({ context, until, maxTokens, temperature }) => {
      // OpenAI takes four; the rest is cut here.
      const stop = until.filter((text) => text !== '')
      const body = {
        model: this.name,
        max_tokens: maxTokens,
        temperature,
        seed: SEED,
        ...(stop.length > 0 && { stop: stop.slice(0, 4) }),
      }
      const text = this.#at.isChat
        ? this.#understood(
            chat,
            await this.#ask('chat/completions', { ...body, messages: [{ role: 'user', content: context }] }, options),
          ).choices[0]!.message.content
        : this.#understood(completion, await this.#ask('completions', { ...body, prompt: context }, options))
            .choices[0]!.text
      return stop.reduce((left, end) => left.split(end, 1)[0]!, text ?? '')
    })
  }

  async #scoreIds({ context, continuation }: TokenPair, options: AskOptions): Promise<Likelihood> {
    // One token is generated besides, for which there must be room.
    const all = [...context, ...continuation]
    const prompt = all.slice(-(this.#longest - 1))
    const { logprobs: scored } = await this.#echo(prompt, options)
    const first = Math.max(1, prompt.length - continuation.length)
    if (scored.token_logprobs.length < prompt.length)
      throw new DataError(`${this.#at.base} scores ${scored.token_logprobs.length} of ${prompt.length} tokens`, {
        remedy: 'is the tokenizer that of the model?',
      })
    return likelihood(scored, first, prompt.length)
  }

  /** By texts: what is scored are the tokens that the whole has more than the context alone. */
  async #scoreText({ context, continuation }: ContinuationRequest, options: AskOptions): Promise<Likelihood> {
    const before = context.trimEnd()
    if (before === '')
      throw new DataError(`${this.name}: a text is scored from its beginning, and the endpoint scores no first token`, {
        remedy: 'give the tokenizer of the model: --tokenizer FOLDER',
      })
    const scored = await this.#echo(context + continuation, options)
    return likelihood(scored.logprobs, await this.#tokensIn(before, options), scored.promptTokens)
  }

  /** Contexts come several times, once with each choice. */
  #tokensIn(text: string, options: AskOptions): Promise<number> {
    const known = this.#counted.get(text)
    if (known !== undefined) return known
    const counting = this.#echo(text, options).then(({ promptTokens }) => promptTokens)
    if (this.#counted.size > MOST_COUNTED) this.#counted.clear()
    this.#counted.set(text, counting)
    return counting
  }

  async #echo(prompt: string | number[], options: AskOptions): Promise<{ logprobs: Scored; promptTokens: number }> {
    const body = { model: this.name, prompt, max_tokens: 1, logprobs: 1, echo: true, temperature: 0, seed: SEED }
    const { choices, usage } = this.#understood(completion, await this.#ask('completions', body, options))
    const { logprobs } = choices[0]!
    // One token was generated besides, and some servers do not show the one that ends a text.
    if (logprobs) return { logprobs, promptTokens: usage?.prompt_tokens ?? logprobs.token_logprobs.length - 1 }
    throw new DataError(
      `${this.#at.base} gives no log probabilities of the prompt, by which continuations are compared`,
      {
        remedy: 'ask it only what is generated (gsm8k), or serve the model with hearth serve',
      },
    )
  }

  #refuseChat(): void {
    if (!this.#at.isChat) return
    throw new DataError(`${this.name}: a chat endpoint gives no log probabilities of what it is told`, {
      remedy: 'ask it only what is generated (gsm8k), or give its /v1/completions',
    })
  }

  async #ask(path: string, body: object, { signal }: AskOptions): Promise<unknown> {
    return await askEndpoint(this.#at, path, body, signal)
  }

  #understood<T>(schema: z.ZodType<T>, answer: unknown): T {
    const read = schema.safeParse(answer)
    if (read.success) return read.data
    const [issue] = read.error.issues
    throw new DataError(
      `${this.#at.base} answers something else than OpenAI's API would: ${issue!.path.join('.')}: ${issue!.message}`,
    )
  }

  /** Some at once, each on its own. The first failure is everyone's. */
  async #each<A, B>(all: readonly A[], { onAnswer }: AskOptions, run: (one: A) => Promise<B>): Promise<B[]> {
    const answers = new Array<B>(all.length)
    const left = all.entries()
    let isFailed = false
    const worker = async () => {
      for (const [place, one] of left) {
        if (isFailed) return
        answers[place] = await run(one)
        onAnswer?.()
      }
    }
    const running = Array.from({ length: Math.min(this.#batchSize, all.length) }, worker)
    await Promise.all(running).catch(async (error: unknown) => {
      isFailed = true
      await Promise.allSettled(running)
      throw error
    })
    return answers
  }
}

function likelihood({ token_logprobs: logprobs, top_logprobs: top }: Scored, from: number, to: number): Likelihood {
  const own = logprobs.slice(from, to)
  const isLikeliest = (logprob: number | null, i: number) => {
    const others = Object.values(top?.[from + i] ?? {})
    return logprob !== null && others.length > 0 && logprob >= Math.max(...others)
  }
  if (own.length === 0 || own.includes(null))
    throw new DataError('the endpoint gives no log probability for a token that is scored', {
      remedy: 'give the tokenizer of the model: --tokenizer FOLDER',
    })
  return { logprob: own.reduce<number>((sum, logprob) => sum + logprob!, 0), greedy: own.every(isLikeliest) }
}
