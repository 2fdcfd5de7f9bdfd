// What a person types, or a script sends: messages of one or several lines. On a terminal with editing and history; from a
// pipe line by line, without a prompt. Not here: what a message means (chat-session.ts).
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createInterface, type Interface } from 'node:readline'

const FENCE = '"""'
/** A line was given up with Ctrl+C. */
const GIVEN_UP = Symbol('given up')
type Line = string | typeof GIVEN_UP | undefined

export interface ChatInputOptions {
  input: NodeJS.ReadStream
  output: NodeJS.WriteStream
  /** Stands before a message, and before its further lines. */
  prompts: readonly [first: string, further: string]
  /** Completed by the Tab key. */
  words: readonly string[]
  /** Called for Ctrl+C where there is nothing to give up. */
  onIdleInterrupt: () => void
}

/**
 * Messages one after another. A line that ends with a backslash goes on with the next; between lines of three quotes stand
 * as many as one likes; what is pasted in one piece is one message.
 */
export class ChatInput {
  /** Whether a person types, and sees what is written. */
  readonly interactive: boolean
  readonly #options: ChatInputOptions
  readonly #lines: Line[] = []
  readonly #reader: Interface
  #wake: (() => void) | undefined
  #ended = false
  #further = false

  constructor(options: ChatInputOptions) {
    this.#options = options
    const { input, output, words } = options
    this.interactive = input.isTTY && output.isTTY
    const complete = (line: string): [string[], string] => [words.filter((word) => word.startsWith(line)), line]
    this.#reader = this.interactive
      ? createInterface({ input, output, terminal: true, completer: complete, historySize: 1000 })
      : createInterface({ input, terminal: false })
    this.#reader.on('line', (line) => this.#put(line))
    this.#reader.on('SIGINT', () => this.#giveUp())
    this.#reader.on('close', () => {
      this.#ended = true
      this.#wake?.()
    })
  }

  /** The next message, or undefined when no more will come. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const message = await this.#message()
      if (message !== GIVEN_UP) return message
    }
  }

  /**
   * Runs work during which nothing is read, so that Ctrl+C is a signal to this process.
   * @param interrupt called at that signal
   */
  async whileBusy<T>(work: () => Promise<T>, interrupt: () => void): Promise<T> {
    const raw = (mode: boolean) => this.interactive && !this.#ended && this.#options.input.setRawMode(mode)
    this.#reader.pause()
    raw(false)
    process.on('SIGINT', interrupt)
    try {
      return await work()
    } finally {
      process.off('SIGINT', interrupt)
      raw(true)
    }
  }

  close(): void {
    this.#reader.close()
  }

  async #message(): Promise<Line> {
    const first = await this.#line(false)
    if (typeof first !== 'string') return first
    if (first.trimStart().startsWith(FENCE)) return this.#fenced(first.trimStart().slice(FENCE.length))
    let text = first
    for (;;) {
      const goesOn = text.endsWith('\\')
      if (!goesOn && !(await this.#pasted(text))) return text
      const line = await this.#line(true)
      if (line === GIVEN_UP) return line
      text = `${goesOn ? text.slice(0, -1) : text}${line === undefined ? '' : `\n${line}`}`
      if (line === undefined) return text
    }
  }

  async #fenced(first: string): Promise<Line> {
    const lines = [first]
    while (!lines.at(-1)!.trimEnd().endsWith(FENCE)) {
      const line = await this.#line(true)
      if (line === GIVEN_UP) return line
      if (line === undefined) return lines.join('\n').trim()
      lines.push(line)
    }
    return lines.join('\n').trimEnd().slice(0, -FENCE.length).trim()
  }

  /** Whether more of the same paste is there: lines that came in one piece, and what is on the line without its end. */
  async #pasted(text: string): Promise<boolean> {
    if (!this.interactive || text.startsWith('/')) return false
    await nextTurn()
    return this.#lines.length > 0 || this.#reader.line !== ''
  }

  async #line(further: boolean): Promise<Line> {
    this.#further = further
    if (this.#lines.length === 0 && !this.#ended) {
      if (this.interactive) {
        this.#reader.setPrompt(this.#options.prompts[further ? 1 : 0])
        this.#reader.prompt(true)
      } else this.#reader.resume()
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.#lines.shift()
  }

  #put(line: Line): void {
    this.#lines.push(line)
    this.#wake?.()
  }

  #giveUp(): void {
    const { output, onIdleInterrupt } = this.#options
    output.write('\n')
    if (this.#reader.line === '' && !this.#further) onIdleInterrupt()
    this.#reader.write(null, { ctrl: true, name: 'e' })
    this.#reader.write(null, { ctrl: true, name: 'u' })
    this.#put(GIVEN_UP)
  }
}
