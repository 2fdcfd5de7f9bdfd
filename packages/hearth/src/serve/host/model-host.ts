// The process that runs a model, seen from the server: it is started, asked, and started again when it dies. A death ends
// the requests that were in it with a clear error; new ones wait for the next process. Not here: what runs in it.
import { fork, type ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { ApiError } from '../api-error.js'
import { Mailbox } from './mailbox.js'
import type { FromHost, GenerationRequest, HostEnding, ModelFacts, ModelSpec, ScoredToken, ToHost } from './messages.js'

/** The compiled program lies beside this package's public face, also when its sources are run by a test. */
const program = () => join(dirname(createRequire(import.meta.url).resolve('hearth/serve')), 'host', 'host-process.js')

/** After so many deaths without a token in between, it is not tried again. */
const MOST_FAILED_STARTS = 5
const LAST_WORDS = 2000
/** Milliseconds that a process has to end by itself. */
const GRACE = 2000

export interface ModelHostOptions {
  /** Told of deaths and restarts. */
  report?: (event: HostEvent) => void
}

export type HostEvent =
  | { kind: 'started'; pid: number; seconds: number }
  | { kind: 'died'; how: string; requests: number; lastWords: string }
  | { kind: 'gaveUp'; how: string }

/** What a generation yields: the scores of the prompt once, where they were asked for, then tokens as they come. */
export type HostPiece = { kind: 'prompt' | 'tokens'; tokens: readonly ScoredToken[] }

type Item = HostPiece | { kind: 'end'; ending: HostEnding } | { kind: 'answer'; value: unknown }

/** One model in a process of its own. */
export class ModelHost {
  readonly #report: (event: HostEvent) => void
  readonly #boxes = new Map<number, Mailbox<Item>>()
  #spec: ModelSpec
  #child: ChildProcess | undefined
  #facts: Promise<ModelFacts>
  #settle!: { ready: (facts: ModelFacts) => void; refuse: (error: Error) => void }
  #next = 0
  #failedStarts = 0
  #startedAt = 0
  #lastWords = ''
  #closed = false
  #gaveUp = false
  #isReady = false
  #restarts = 0

  constructor(spec: ModelSpec, { report = () => undefined }: ModelHostOptions = {}) {
    this.#spec = spec
    this.#report = report
    this.#facts = this.#expectFacts()
    this.#start()
  }

  /** Resolves when the model can be asked. Rejects when it cannot be opened. */
  get facts(): Promise<ModelFacts> {
    return this.#facts
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Times that the process had to be started again. */
  get restarts(): number {
    return this.#restarts
  }

  /** Requests that are in the process now. */
  get pending(): number {
    return this.#boxes.size
  }

  get failed(): boolean {
    return this.#gaveUp
  }

  /**
   * Writes one text; leaving the loop, or the signal, frees its place in the model at once.
   * @throws ApiError when the process dies under it (503), or refuses the request (400)
   */
  async *generate(request: GenerationRequest, signal?: AbortSignal): AsyncGenerator<HostPiece, HostEnding, void> {
    await this.#facts
    using call = this.#call((id) => ({ kind: 'generate', id, request }))
    const abort = () => call.box.fail(new ApiError(499, 'the client went away'))
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      for (;;) {
        const item = await call.box.take()
        if (item.kind === 'end') return item.ending
        if (item.kind !== 'answer') yield item
      }
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** One vector for a text. */
  async embed(tokens: readonly number[], adapter?: string): Promise<Float32Array> {
    return (await this.#ask((id) => ({ kind: 'embed', id, tokens, adapter }))) as Float32Array
  }

  async stats(): Promise<Record<string, number>> {
    return (await this.#ask((id) => ({ kind: 'stats', id }))) as Record<string, number>
  }

  /** Lets requests choose this adapter from now on, also after a restart. */
  async addAdapter(name: string, folder: string): Promise<void> {
    await this.#ask((id) => ({ kind: 'adapter', id, name, folder }))
    this.#spec = { ...this.#spec, adapters: { ...this.#spec.adapters, [name]: folder } }
  }

  async removeAdapter(name: string): Promise<void> {
    await this.#ask((id) => ({ kind: 'removeAdapter', id, name }))
    this.#spec = {
      ...this.#spec,
      adapters: Object.fromEntries(Object.entries(this.#spec.adapters).filter(([key]) => key !== name)),
    }
  }

  /** Ends the process; requests in it fail. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#failAll(new ApiError(503, 'the server is ending', { code: 'server_ending' }))
    const child = this.#child
    if (child?.exitCode !== null || child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), GRACE)
      child.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      if (child.connected) child.disconnect()
      else child.kill('SIGKILL')
    })
  }

  async #ask(message: (id: number) => ToHost): Promise<unknown> {
    await this.#facts
    using call = this.#call(message)
    const item = await call.box.take()
    return item.kind === 'answer' ? item.value : undefined
  }

  /** Sends a message under a number of its own; disposing tells the process that nobody waits for it any more. */
  #call(message: (id: number) => ToHost): Disposable & { box: Mailbox<Item> } {
    const id = this.#next++
    const box = new Mailbox<Item>()
    this.#boxes.set(id, box)
    this.#send(message(id))
    return {
      box,
      [Symbol.dispose]: () => {
        if (this.#boxes.delete(id)) this.#send({ kind: 'abort', id })
      },
    }
  }

  #send(message: ToHost): void {
    // A process that just died is noticed by its exit; what is sent to it is lost, and so is its request.
    if (this.#child?.connected === true) this.#child.send(message, () => undefined)
  }

  #expectFacts(): Promise<ModelFacts> {
    const facts = new Promise<ModelFacts>((ready, refuse) => (this.#settle = { ready, refuse }))
    // Whoever asks hears of it; nobody asking must not end the server.
    facts.catch(() => undefined)
    return facts
  }

  #start(): void {
    this.#startedAt = performance.now()
    this.#lastWords = ''
    const child = fork(program(), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
    })
    this.#child = child
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS)
    })
    child.on('message', (message: FromHost) => this.#hear(message))
    child.on('error', (error) => child.pid === undefined && this.#lose(error.message))
    child.on('exit', (code, signal) => this.#lose(signal ?? `exit code ${code}`))
    this.#send({ kind: 'open', spec: this.#spec })
  }

  #hear(message: FromHost): void {
    if (message.kind === 'ready') {
      this.#isReady = true
      this.#settle.ready(message.facts)
      this.#report({ kind: 'started', pid: this.#child!.pid!, seconds: (performance.now() - this.#startedAt) / 1000 })
      return
    }
    if (message.kind === 'refused') {
      this.#giveUp(message.message)
      return
    }
    this.#failedStarts = 0
    const box = this.#boxes.get(message.id)
    if (box === undefined) return
    if (message.kind === 'failed') box.fail(new ApiError(message.mistake ? 400 : 500, message.message))
    else box.put(message)
    if (message.kind !== 'tokens' && message.kind !== 'prompt') this.#boxes.delete(message.id)
  }

  #lose(how: string): void {
    if (this.#closed || this.#gaveUp) return
    this.#report({ kind: 'died', how, requests: this.#boxes.size, lastWords: this.#lastWords })
    // Whoever waits for the first start goes on waiting.
    if (this.#isReady) this.#facts = this.#expectFacts()
    this.#isReady = false
    this.#failAll(
      new ApiError(503, `the process of the model died (${how}); it is being started again`, {
        code: 'model_restarting',
        retryAfter: 1,
      }),
    )
    if (++this.#failedStarts > MOST_FAILED_STARTS) {
      this.#giveUp(`its process died ${MOST_FAILED_STARTS} times in a row (${how}): ${this.#lastWords}`)
      return
    }
    this.#restarts++
    this.#start()
  }

  #giveUp(how: string): void {
    this.#gaveUp = true
    this.#report({ kind: 'gaveUp', how })
    const error = new ApiError(503, `the model cannot be run: ${how}`, { code: 'model_failed' })
    this.#settle.refuse(error)
    this.#failAll(error)
  }

  #failAll(error: Error): void {
    for (const box of this.#boxes.values()) box.fail(error)
    this.#boxes.clear()
  }
}
