// A chat on a terminal or in a script: messages in, answers out as they come, /commands between them. Answers go to stdout,
// everything else to stderr. Not here: the conversation itself (hearth/generate), how lines are read (chat-input.ts).
import type { Chat, ChatEnding } from 'hearth/generate'
import { CommandError, exitCodes, reportFailure } from '../failure.js'
import type { Terminal } from '../terminal.js'
import type { ChatAdapters } from './chat-adapters.js'
import { chatCommands, turnsOf } from './chat-commands.js'
import type { ChatInput } from './chat-input.js'
import type { ChatSettings } from './chat-settings.js'

export interface ChatParts {
  chat: Chat
  adapters: ChatAdapters
  settings: ChatSettings
  contextLength: number
  stop: readonly string[]
  terminal: Terminal
}

interface Measured extends ChatEnding {
  /** Seconds until the first text, and from there to the end. */
  first: number
  rest: number
}

export class ChatSession {
  readonly chat: Chat
  settings: ChatSettings
  readonly note: (text: string) => void
  readonly #parts: ChatParts
  readonly #input: ChatInput
  #left = false
  #retries = 0
  #forgotten = 0
  #last: Measured | undefined

  constructor(parts: ChatParts, input: ChatInput) {
    this.chat = parts.chat
    this.settings = parts.settings
    this.#parts = parts
    this.#input = input
    const { note, noteColors } = parts.terminal
    this.note = (text) => note(noteColors.dim(text))
  }

  /** Until the input ends, or /exit. */
  async run(): Promise<void> {
    for (let text = await this.#input.next(); text !== undefined; text = await this.#input.next()) {
      await this.#take(text)
      if (this.#left) break
    }
    this.#input.close()
  }

  leave(): void {
    this.#left = true
  }

  /** Asks the last question again; with a seed, by another one, so that the answer can differ. */
  async retry(): Promise<void> {
    const turn = this.chat.undo()
    if (turn === undefined) throw new CommandError('there is no question to ask again')
    const before = this.chat.turns.length
    this.#retries++
    try {
      await this.#answer(turn.user)
    } finally {
      if (this.chat.turns.length === before) this.chat.turns = [...this.chat.turns, turn]
    }
  }

  async wear(word: string): Promise<void> {
    const { adapters } = this.#parts
    if (word === '') {
      const worn = this.chat.voice.adapter ?? 'none'
      for (const name of ['none', ...adapters.names]) this.note(`${name === worn ? '* ' : '  '}${name}`)
    } else this.chat.voice = await adapters.voice(word.includes('=') ? adapters.add(word) : word)
  }

  showStats(): void {
    const { chat, note } = this
    note(`${turnsOf(chat.turns.length)}, ${chat.length} of ${this.#parts.contextLength} tokens of the context`)
    if (this.#last === undefined) return
    const { tokens, promptTokens, cachedTokens, first, rest } = this.#last
    const speed = tokens > 1 && rest > 0 ? `, then ${((tokens - 1) / rest).toFixed(1)} tokens/s` : ''
    note(`last answer: ${tokens} tokens after ${promptTokens} read (${cachedTokens} of them known before)`)
    note(`first text after ${(first * 1000).toFixed(0)} ms${speed}`)
  }

  async #take(text: string): Promise<void> {
    const { terminal } = this.#parts
    try {
      if (text.trim() === '') return
      if (text.startsWith('/') && !text.startsWith('//')) await this.#command(text.slice(1))
      else {
        this.#retries = 0
        await this.#answer(text.startsWith('//') ? text.slice(1) : text)
      }
    } catch (error) {
      const code = reportFailure(error, terminal)
      // A person goes on; a script is told in the end, and one that met a fault of ours ends.
      if (!this.#input.interactive || code === exitCodes.internal) terminal.exitCode = code
      if (code === exitCodes.internal) this.#left = true
    }
  }

  async #command(line: string): Promise<void> {
    const [, name = '', rest = ''] = /^(\S*)\s*([^]*)$/.exec(line) ?? []
    const command = chatCommands.find((each) => each.name === name)
    if (command === undefined) throw new CommandError(`there is no command /${name}`, '/help lists them')
    await command.run(this, rest.trim())
  }

  async #answer(user: string): Promise<void> {
    const abort = new AbortController()
    const ending = await this.#input.whileBusy(
      () => this.#write(user, abort.signal),
      () => abort.abort(),
    )
    this.#say(ending)
    if (ending.reason === 'stopped' && !this.#input.interactive) {
      this.#parts.terminal.exitCode = exitCodes.interrupted
      this.leave()
    }
  }

  async #write(user: string, signal: AbortSignal): Promise<ChatEnding> {
    const { terminal, stop } = this.#parts
    const { maxTokens, overflow, seed, ...rest } = this.settings
    const sampling = { ...rest, ...(seed !== undefined && { seed: seed + this.#retries }) }
    const start = performance.now()
    let first = 0
    const pieces = this.chat.ask(user, { sampling, maxTokens, overflow, stop, signal })
    try {
      for (;;) {
        const next = await pieces.next()
        if (first === 0) first = performance.now()
        if (next.done) {
          this.#last = { ...next.value, first: (first - start) / 1000, rest: (performance.now() - first) / 1000 }
          return next.value
        }
        terminal.writeText(next.value)
      }
    } finally {
      if (first > 0) terminal.write('\n')
    }
  }

  /** What is not plain from the answer itself. */
  #say({ reason, forgotten }: ChatEnding): void {
    if (reason === 'stopped') this.note('(stopped)')
    if (reason === 'length') this.note(`(cut off at ${this.settings.maxTokens} tokens: /set max-tokens=N)`)
    if (reason === 'full')
      this.note(
        `(the context of ${this.#parts.contextLength} tokens is full: /reset, /undo or /set overflow=drop-oldest)`,
      )
    if (forgotten > this.#forgotten)
      this.note(`(the oldest ${turnsOf(forgotten)} no longer fit and ${forgotten === 1 ? 'is' : 'are'} not read)`)
    this.#forgotten = forgotten
  }
}
