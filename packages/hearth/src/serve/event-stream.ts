// Server-sent events: one answer in pieces. Headers go out with the first piece, so that what fails before it has a status
// of its own; what fails later is an event. A client that does not read is waited for, and dropped after a while.
import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import { asApiError } from './api-error.js'

/** Milliseconds that a client may leave what it was sent unread. */
const PATIENCE = 60_000

export class EventStream {
  readonly #reply: FastifyReply
  #open = false

  constructor(reply: FastifyReply) {
    this.#reply = reply
  }

  /** Whether something was sent: then errors must be events. */
  get open(): boolean {
    return this.#open
  }

  /** @param event its name, where the protocol has names */
  async send(data: unknown, event?: string): Promise<void> {
    const text = typeof data === 'string' ? data : JSON.stringify(data)
    await this.#write(`${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`)
  }

  /** Says what went wrong, where that can still be said as an event, and ends. */
  async fail(error: unknown): Promise<void> {
    await this.send(asApiError(error).body)
    this.end()
  }

  end(): void {
    this.#reply.raw.end()
  }

  async #write(text: string): Promise<void> {
    const { raw } = this.#reply
    if (!this.#open) this.#begin()
    if (raw.destroyed || raw.write(text)) return
    const waiting = new AbortController()
    const timer = setTimeout(() => raw.destroy(), PATIENCE)
    const options = { signal: waiting.signal }
    await Promise.race([once(raw, 'drain', options), once(raw, 'close', options)]).finally(() => {
      clearTimeout(timer)
      waiting.abort()
    })
  }

  #begin(): void {
    this.#open = true
    this.#reply.hijack()
    const headers = Object.entries(this.#reply.getHeaders()).filter(([, value]) => value !== undefined)
    this.#reply.raw.writeHead(200, {
      ...(Object.fromEntries(headers) as Record<string, string>),
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
  }
}
