// One machine's connection with the store of one host: questions and answers in their order, and a new connection after
// each that broke. Not here: which host's store counts (embedded-store.ts).
import { connect, type TLSSocket } from 'node:tls'
import { HearthError, IDENTITY, keyOf, WIRE } from '@hearth/torch'
import { LineReader, parseAnswer, type StoreAnswer, type StoreRequest } from './wire.js'

/** Where a host's store listens. */
export interface StoreAddress {
  host: string
  port: number
  secret: string | undefined
}

interface Waiting {
  resolve: (answer: StoreAnswer) => void
  reject: (error: Error) => void
}

export class EmbeddedClient {
  readonly #address: StoreAddress
  #socket: TLSSocket | undefined
  #waiting: Waiting[] = []

  constructor(address: StoreAddress) {
    this.#address = address
  }

  /** @throws HearthError when no answer comes within that time */
  ask(request: StoreRequest, withinSeconds: number): Promise<StoreAnswer> {
    const socket = (this.#socket ??= this.#connect())
    return new Promise((resolve, reject) => {
      // Answers come in the order of the questions: after one that did not, the connection is of no use.
      const timer = setTimeout(() => socket.destroy(new Error('it does not answer')), withinSeconds * 1000)
      const settle = (how: () => void) => {
        clearTimeout(timer)
        how()
      }
      this.#waiting.push({
        resolve: (answer) => settle(() => resolve(answer)),
        reject: (error) => settle(() => reject(error)),
      })
      socket.write(`${JSON.stringify(request)}\n`)
    })
  }

  close(): void {
    this.#socket?.destroy()
  }

  #connect(): TLSSocket {
    const { host, port, secret } = this.#address
    const pskCallback = () => ({ psk: keyOf(secret), identity: IDENTITY })
    const socket = connect({ ...WIRE, host, port, pskCallback, checkServerIdentity: () => undefined })
    socket.setNoDelay(true)
    const reader = new LineReader((line) => this.#waiting.shift()?.resolve(parseAnswer(line)))
    let why = 'it hung up'
    socket.setEncoding('utf8').on('data', (text: string) => {
      try {
        reader.push(text)
      } catch (error) {
        socket.destroy(error as Error)
      }
    })
    socket.on('error', (error: Error) => (why = error.message))
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined
      const waiting = this.#waiting.splice(0)
      for (const { reject } of waiting) reject(new HearthError(`the store at ${host}:${port}: ${why}`))
    })
    return socket
  }
}
