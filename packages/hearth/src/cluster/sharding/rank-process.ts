// One rank's process, as the one that watches over the group sees it: it is started, asked, and at some time gone.
// Not here: what becomes of the group then (rank-group.ts).
import { fork, type ChildProcess } from 'node:child_process'
import type { FromRank, ToRank } from './rank-messages.js'

/** What comes of asking: an answer, or that the process is gone. */
export type RankAnswer = Exclude<FromRank, { kind: 'ready' }> | { kind: 'lost'; reason: string }

export interface RankProcessOptions {
  rank: number
  /** The module that the process runs; it calls serveRank(). */
  entry: string
  job: unknown
  env?: NodeJS.ProcessEnv | undefined
  /** Told once, when the process is gone. */
  onLost: (reason: string) => void
}

/** Bytes of what it last wrote to stderr that are kept, to say why it ended. */
const LAST_WORDS = 2000

export class RankProcess {
  readonly rank: number
  readonly started = performance.now()
  /** Resolves when it is ready for work; with false when it ended before. */
  readonly ready: Promise<boolean>
  readonly #process: ChildProcess
  readonly #asked = new Map<number, (answer: RankAnswer) => void>()
  #lastWords = ''
  #tickets = 0
  #lost: string | undefined
  #killedFor: string | undefined

  constructor({ rank, entry, job, env, onLost }: RankProcessOptions) {
    this.rank = rank
    this.#process = fork(entry, [String(rank)], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...env },
      execArgv: [],
    })
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS)
    })
    this.ready = new Promise((resolve) => {
      const lose = (how: string) => {
        resolve(false)
        if (this.#lost === undefined) this.#lose(how, onLost)
      }
      this.#process.on('message', (message: FromRank) =>
        message.kind === 'ready' ? resolve(true) : this.#hear(message),
      )
      // A process that does not come to be has no exit either.
      this.#process.on('error', (error) => this.#process.pid === undefined && lose(error.message))
      // Not at its exit: what it last wrote may still be on its way.
      this.#process.on('close', (code, signal) => lose(signal ?? `exit code ${code}`))
    })
    this.#send({ kind: 'open', job })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get isLost(): boolean {
    return this.#lost !== undefined
  }

  /** Asks for something; resolves with the answer, or when the process is gone. */
  ask(make: (ticket: number) => ToRank): Promise<RankAnswer> {
    return new Promise((resolve) => {
      if (this.#lost !== undefined) {
        resolve({ kind: 'lost', reason: this.#lost })
        return
      }
      const ticket = ++this.#tickets
      this.#asked.set(ticket, resolve)
      this.#send(make(ticket))
    })
  }

  tell(message: ToRank): void {
    this.#send(message)
  }

  /** Whether it has not answered yet. */
  get isBusy(): boolean {
    return this.#asked.size > 0
  }

  /** Of what it was asked last. */
  get ticket(): number {
    return this.#tickets
  }

  isBusyWith(ticket: number): boolean {
    return this.#asked.has(ticket)
  }

  /** SIGKILL ends a process that stands still too. */
  kill(reason: string): void {
    this.#killedFor ??= reason
    this.#process.kill('SIGKILL')
  }

  #hear(answer: Exclude<FromRank, { kind: 'ready' }>): void {
    this.#asked.get(answer.ticket)?.(answer)
    this.#asked.delete(answer.ticket)
  }

  #lose(how: string, onLost: (reason: string) => void): void {
    const words = this.#lastWords.trim().split('\n').at(-1)
    this.#lost = this.#killedFor ?? (words ? `${how}: ${words}` : how)
    for (const resolve of this.#asked.values()) resolve({ kind: 'lost', reason: this.#lost })
    this.#asked.clear()
    onLost(this.#lost)
  }

  /** A process that is gone is heard of by its end. */
  #send(message: ToRank): void {
    if (this.#process.connected) this.#process.send(message, () => undefined)
  }
}
