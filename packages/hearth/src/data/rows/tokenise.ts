// Rows as tokens, each with a mark: trained on, or only read. Answers alone are trained on, from the first token that the
// model would write to the token that ends its turn: exactly what it has to write when it is used.
import { DataError } from '@hearth/torch'
import type { ChatTemplate, Message } from '../chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Row, Turns } from './shapes.js'

/** Which tokens of a row are trained on. */
export interface MaskOptions {
  template: ChatTemplate
  /** Whose turns are trained on. @default assistant */
  roles?: readonly string[]
  /** Of conversations, the last such turn alone. @default false */
  lastTurnOnly?: boolean
  /** The token that ends a turn: of all that are trained on, of the last of them, or of none. @default all */
  endOfTurn?: 'all' | 'last' | 'none'
  /** Everything is trained on, prompts too. @default false */
  trainOnPrompt?: boolean
}

/** Tokens, and a 1 for each that is trained on. */
export interface MarkedTokens {
  ids: Int32Array
  trained: Uint8Array
}

/** A row: one sequence, or the better and the worse one of a pair. */
export interface Example {
  sequences: MarkedTokens[]
  /** Whether it is wanted, of labelled rows. */
  label?: boolean
  /** A token that ends a text or turn is trained on. */
  endTrained: boolean
}

/**
 * The tokens of a row.
 * @throws DataError when its text holds special tokens, or its template does not render it
 */
export function tokeniseRow(row: Row, tokenizer: Tokenizer, options: MaskOptions): Example {
  const one = (build: (tokens: Marker) => void) => {
    const tokens = new Marker(tokenizer, options)
    build(tokens)
    return tokens
  }
  const example = (label: boolean | undefined, ...all: Marker[]): Example => ({
    sequences: all.map((tokens) => tokens.finish()),
    ...(label !== undefined && { label }),
    endTrained: all.some(({ endTrained }) => endTrained),
  })
  switch (row.kind) {
    case 'text':
      return example(
        undefined,
        one((tokens) => tokens.plain('', row.text)),
      )
    case 'completion':
      return example(
        undefined,
        one((tokens) => tokens.plain(row.prompt, row.completion)),
      )
    case 'chat':
      return example(
        undefined,
        one((tokens) => tokens.chat(row.messages, 0)),
      )
    case 'preference':
      return example(
        undefined,
        ...[row.chosen, row.rejected].map((way) => one((tokens) => tokens.after(row.prompt, way))),
      )
    case 'labelled':
      return example(
        row.label,
        one((tokens) => tokens.after(row.prompt, row.completion)),
      )
  }
}

/** Tokens of one sequence as they are put together. */
class Marker {
  readonly #ids: number[] = []
  readonly #trained: number[] = []
  readonly #tokenizer: Tokenizer
  readonly #options: MaskOptions
  endTrained = false

  constructor(tokenizer: Tokenizer, options: MaskOptions) {
    this.#tokenizer = tokenizer
    this.#options = options
  }

  finish(): MarkedTokens {
    return { ids: Int32Array.from(this.#ids), trained: Uint8Array.from(this.#trained) }
  }

  /** A text after another, as they stand, and the token that ends texts. Their special tokens are plain text. */
  plain(prompt: string, completion: string): void {
    const { beginOfText, endOfText } = this.#tokenizer
    const begins = beginOfText !== undefined && this.#tokenizer.encode('').includes(beginOfText)
    const { endOfTurn = 'all', trainOnPrompt = false } = this.#options
    const encode = (text: string) =>
      this.#tokenizer.encode(text, { addSpecialTokens: false, recognizeSpecialTokens: false })
    if (begins) this.#push([beginOfText], false)
    this.#push(encode(prompt), trainOnPrompt)
    this.#push(encode(completion), true)
    if (endOfText === undefined) return
    this.#push([endOfText], endOfTurn !== 'none')
    this.endTrained ||= endOfTurn !== 'none'
  }

  /** What follows a prompt: both as they stand, or both as turns. */
  after(prompt: Turns, answer: Turns): void {
    if (typeof prompt === 'string' && typeof answer === 'string') {
      this.plain(prompt, answer)
      return
    }
    const before = typeof prompt === 'string' ? (prompt === '' ? [] : [{ role: 'user', content: prompt }]) : prompt
    const turns = typeof answer === 'string' ? [{ role: 'assistant', content: answer }] : answer
    this.chat([...before, ...turns], before.length)
  }

  /** A conversation; turns from `first` on may be trained on. */
  chat(messages: readonly Message[], first: number): void {
    const {
      template,
      roles = ['assistant'],
      lastTurnOnly = false,
      endOfTurn = 'all',
      trainOnPrompt = false,
    } = this.#options
    messages.forEach(({ content }, i) => this.#refuseSpecial(content, i))
    const whole = template.render(messages)
    const all = messages.flatMap(({ role }, i) => (i >= first && roles.includes(role) ? [i] : []))
    const turns = lastTurnOnly ? all.slice(-1) : all
    let done = 0
    for (const turn of turns) {
      const [start, end] = spanOf(messages, turn, template, whole)
      this.#push(this.#encode(whole.slice(done, start)), trainOnPrompt)
      this.#turn(whole.slice(start, end), endOfTurn === 'all' || (endOfTurn === 'last' && turn === turns.at(-1)))
      done = end
    }
    messages.forEach((message, i) => refuseUnwritten(message, i, template, whole))
    this.#push(this.#encode(whole.slice(done)), trainOnPrompt)
  }

  /** A turn that is trained on up to its first special token, which ends it: content has none. */
  #turn(text: string, withEnd: boolean): void {
    const ids = this.#encode(text)
    const end = ids.findIndex((id) => this.#tokenizer.isSpecial(id))
    const length = end < 0 ? ids.length : end
    this.#push(ids.slice(0, length), true)
    if (end < 0) return
    this.#push([ids[end]!], withEnd)
    this.#push(ids.slice(end + 1), false)
    this.endTrained ||= withEnd
  }

  #encode(text: string): Int32Array {
    return this.#tokenizer.encode(text, { addSpecialTokens: false })
  }

  #push(ids: Iterable<number>, trained: boolean): void {
    for (const id of ids) {
      this.#ids.push(id)
      this.#trained.push(trained || this.#options.trainOnPrompt === true ? 1 : 0)
    }
  }

  /** A row must not be able to end a turn, or begin one. */
  #refuseSpecial(content: string, message: number): void {
    const special = this.#encode(content).find((id) => this.#tokenizer.isSpecial(id))
    if (special === undefined) return
    throw new DataError(
      `message ${message} holds ${JSON.stringify(this.#tokenizer.token(special))}, which is a token that controls the model`,
      { remedy: 'take such words out of the text' },
    )
  }
}

/**
 * A template that refers to what messages do not have, as message.text, writes nothing in its place and says nothing.
 * The last line alone is looked for: templates take thoughts out of answers.
 */
function refuseUnwritten({ role, content }: Message, message: number, template: ChatTemplate, whole: string): void {
  if (role !== 'user' && role !== 'assistant') return
  if (whole.includes(content.trim().split('\n').at(-1)!.trim())) return
  throw new DataError(
    `the chat template (${template.name}) does not write the words of message ${message} (${role}): what it refers to is not in messages, which have role and content`,
  )
}

/** Where a turn's words stand in the whole text: from what the model would write first to the end of the turn. */
function spanOf(messages: readonly Message[], turn: number, template: ChatTemplate, whole: string): [number, number] {
  const { role, content } = messages[turn]!
  const upTo = template.render(messages.slice(0, turn + 1))
  if (!whole.startsWith(upTo))
    throw new DataError(
      `the chat template (${template.name}) writes message ${turn} in another way once others follow, so that its tokens are not those that were trained on`,
      { remedy: 'train the last turn alone, or choose another template' },
    )
  if (role === 'assistant') {
    const before = template.render(messages.slice(0, turn), { addGenerationPrompt: true })
    if (upTo.startsWith(before)) return [before.length, upTo.length]
  }
  // The words themselves, where the template does not say how such a turn begins.
  const start = upTo.lastIndexOf(content.trim())
  return [start < 0 ? upTo.length : start, upTo.length]
}
