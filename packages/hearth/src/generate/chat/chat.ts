// A conversation with a model: turns that can be taken back, a template that makes a text of them, and what to do when they
// no longer fit into the model's context. Not here: a terminal, files, commands (packages/cli/src/chat).
import { DataError } from '@hearth/torch'
import type { ChatTemplate, Message, Tokenizer } from '../../data/index.js'
import type { Engine, Finish, Generation, SamplingSettings } from '../engine/index.js'
import { StopStrings } from '../stop-strings.js'
import { turnEnds } from './turn-ends.js'

/** One question and its answer. */
export interface Turn {
  user: string
  assistant: string
}

/** Who answers: the model as it is or with an adapter, by the tokenizer and template that it was taught with. */
export interface ChatVoice {
  tokenizer: Tokenizer
  template: ChatTemplate
  /** A name of Engine.setAdapter(). @default the model as it is */
  adapter?: string | undefined
}

/** What a chat has to know of its model. */
export interface ChatModel {
  engine: Pick<Engine, 'generate'>
  contextLength: number
  /** Of the model's files. */
  endTokens: readonly number[]
}

/**
 * What to do when the turns do not fit into the context. `error`: refuse the next question. `drop-oldest`: do not read the
 * oldest turns; ChatEnding.forgotten says how many. The system prompt stays in both.
 */
export type ChatOverflow = 'error' | 'drop-oldest'

export interface AskOptions {
  /** What is not given is the model's own, else GenerationSettings' default. */
  sampling?: SamplingSettings
  /** @default as many as fit */
  maxTokens?: number | undefined
  /** Texts that end the answer besides those of the template. */
  stop?: readonly string[]
  /** @default 'error' */
  overflow?: ChatOverflow
  /** Ends the answer; what is there of it stays in the conversation. */
  signal?: AbortSignal
}

/** How an answer ended. */
export interface ChatEnding {
  /** `end`: it is complete; `length`: maxTokens; `full`: the context is; `stopped`: the signal, or the caller left. */
  reason: 'end' | 'length' | 'full' | 'stopped'
  promptTokens: number
  /** Of them, those that were still known from an earlier question. */
  cachedTokens: number
  tokens: number
  /** Turns at the beginning that were not read. */
  forgotten: number
}

/**
 * @example
 * const chat = new Chat({ engine, contextLength: 2048, endTokens: endTokensOf(model) }, { tokenizer, template })
 * for await (const piece of chat.ask('Who was Ishmael?')) process.stdout.write(piece)
 */
export class Chat {
  system: string | undefined
  voice: ChatVoice
  #turns: Turn[] = []
  #forgotten = 0
  readonly #model: ChatModel

  constructor(model: ChatModel, voice: ChatVoice, system?: string) {
    this.#model = model
    this.voice = voice
    this.system = system
  }

  get turns(): readonly Turn[] {
    return this.#turns
  }

  /** Replaces all turns. */
  set turns(turns: readonly Turn[]) {
    this.#turns = turns.map(({ user, assistant }) => ({ user, assistant }))
    this.#forgotten = 0
  }

  /** Takes back the last turn, which it returns. */
  undo(): Turn | undefined {
    const turn = this.#turns.pop()
    this.#forgotten = Math.min(this.#forgotten, this.#turns.length)
    return turn
  }

  /** Tokens of the conversation as the model would read it for a next question of no words. */
  get length(): number {
    return this.#encode(this.#forgotten, '').length
  }

  /**
   * Asks, and gives the answer in pieces as it comes. The turn is part of the conversation once it has an answer, or a
   * part of one; a question that fails or gets no word leaves no trace.
   * @returns yields pieces of text; the generator's return value says how it ended
   * @throws DataError when the conversation does not fit into the context, ConfigError for settings out of range, both
   * before anything is computed
   */
  async *ask(user: string, options: AskOptions = {}): AsyncGenerator<string, ChatEnding, void> {
    const { sampling = {}, maxTokens, signal } = options
    const { prompt, forgotten } = this.#fitted(user, options)
    this.#forgotten = forgotten
    const { engine, contextLength, endTokens } = this.#model
    const { tokenizer, template, adapter } = this.voice
    const ends = turnEnds(template, tokenizer)
    const stops = [...endTokens, ...ends.tokens, ...(tokenizer.endOfText === undefined ? [] : [tokenizer.endOfText])]
    const room = contextLength - prompt.length
    const generation = engine.generate({
      prompt,
      maxTokens: Math.min(maxTokens ?? room, room),
      sampling,
      stopTokens: stops,
      ...(adapter !== undefined && { adapter }),
      ...(signal && { signal }),
    })
    let assistant = ''
    try {
      for await (const piece of answerPieces(generation, tokenizer, [...ends.texts, ...(options.stop ?? [])])) {
        assistant += piece
        yield piece
      }
    } finally {
      generation.cancel()
      if (assistant.trim() !== '') this.#turns.push({ user, assistant: assistant.trimEnd() })
    }
    const finish = await generation.finish
    return { ...endingOf(finish, signal, maxTokens === undefined || maxTokens > room), forgotten }
  }

  /** The prompt of a question within the context, by the policy. */
  #fitted(user: string, { maxTokens, overflow = 'error' }: AskOptions): { prompt: Int32Array; forgotten: number } {
    const { contextLength } = this.#model
    const drops = overflow === 'drop-oldest'
    const reserve = drops ? Math.min(maxTokens ?? Infinity, Math.ceil(contextLength / 4)) : 1
    let forgotten = drops ? Math.min(this.#forgotten, this.#turns.length) : 0
    let prompt = this.#encode(forgotten, user)
    while (drops && prompt.length + reserve > contextLength && forgotten < this.#turns.length)
      prompt = this.#encode(++forgotten, user)
    if (prompt.length < contextLength) return { prompt, forgotten }
    const what = forgotten === this.#turns.length ? 'the question' : 'the conversation'
    throw new DataError(
      `${what} has ${prompt.length} tokens, which leaves no room in the model's context of ${contextLength}`,
      { remedy: drops ? 'shorten it' : 'begin anew, shorten it, or let the oldest turns go (overflow drop-oldest)' },
    )
  }

  #encode(forgotten: number, user: string): Int32Array {
    const system: Message[] = this.system === undefined ? [] : [{ role: 'system', content: this.system }]
    const turns = this.#turns.slice(forgotten).flatMap((turn) => [
      { role: 'user', content: turn.user },
      { role: 'assistant', content: turn.assistant },
    ])
    const { template, tokenizer } = this.voice
    const text = template.render([...system, ...turns, { role: 'user', content: user }], { addGenerationPrompt: true })
    return tokenizer.encode(text, { addSpecialTokens: false }) // the template writes the special tokens itself
  }
}

/** The text of an answer as it comes, without the space that stands before it in many templates. */
async function* answerPieces(
  generation: Generation,
  tokenizer: Tokenizer,
  stop: readonly string[],
): AsyncGenerator<string, void, void> {
  const decoder = tokenizer.streamDecoder()
  const stops = new StopStrings(stop)
  let begun = false
  const shown = (text: string): string => {
    const piece = begun ? text : text.trimStart()
    begun ||= piece !== ''
    return piece
  }
  for await (const { token } of generation) {
    const piece = shown(stops.push(decoder.push(token)))
    if (piece !== '') yield piece
    if (stops.found !== undefined) return
  }
  const rest = shown(stops.push(decoder.end()) + stops.end())
  if (rest !== '') yield rest
}

function endingOf(finish: Finish, signal: AbortSignal | undefined, untilFull: boolean): Omit<ChatEnding, 'forgotten'> {
  const { reason, promptTokens, cachedTokens, tokens } = finish
  const full = reason === 'overflow' || (reason === 'length' && untilFull)
  const stopped = reason === 'cancelled' && signal?.aborted === true
  return {
    reason: stopped ? 'stopped' : full ? 'full' : reason === 'length' ? 'length' : 'end',
    promptTokens,
    cachedTokens,
    tokens,
  }
}
