// The store that each host of a run serves: a directory (directory.ts) behind a port that only holders of the run's secret
// get into. Which host's store counts is for the machines to say (store-choice.ts).
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { ConfigError, IDENTITY, keyOf, secretIssues, WIRE } from '@hearth/torch'
import { Directory } from './directory.js'
import { LineReader, parseRequest, type StoreAnswer, type StoreRequest } from './wire.js'

export interface EmbeddedServerOptions {
  /** The address to listen on. */
  host: string
  port: number
  secret: string | undefined
  /** Of a record; see LEASE_SECONDS. */
  leaseSeconds?: number
}

const HANDSHAKE_MILLISECONDS = 5000
const MOST_CONNECTIONS = 2048
/** Generations whose keys are kept: those before are over. */
const KEPT_GENERATIONS = 8
const MOST_KEYS = 2 ** 20

const seconds = () => performance.now() / 1000

export class EmbeddedServer {
  readonly #server: Server
  readonly #directory: Directory
  readonly #sockets = new Set<TLSSocket>()
  /** Generation → key → value. */
  readonly #values = new Map<string, Map<string, string>>()

  private constructor({ secret, leaseSeconds }: EmbeddedServerOptions) {
    const key = keyOf(secret)
    this.#directory = new Directory(leaseSeconds)
    const pskCallback = (_: unknown, identity: string) => (identity === IDENTITY ? key : null)
    const options = { ...WIRE, pskIdentityHint: IDENTITY, pskCallback, handshakeTimeout: HANDSHAKE_MILLISECONDS }
    this.#server = createServer(options, (socket) => this.#welcome(socket))
    this.#server.maxConnections = MOST_CONNECTIONS
    // Strangers that knock are no news.
    this.#server.on('tlsClientError', (_, socket) => socket.destroy())
  }

  /** @throws ConfigError where others could reach it and no good secret keeps them out; Error when it cannot listen there */
  static async listen(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
    const issues = secretIssues(options.host, options.secret)
    if (issues.length > 0) throw new ConfigError('the store of this host', issues)
    const made = new EmbeddedServer(options)
    await new Promise<void>((resolve, reject) => {
      made.#server.once('error', reject)
      made.#server.listen(options.port, options.host, resolve)
    })
    return made
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #welcome(socket: TLSSocket): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    const say = (answer: StoreAnswer) => void socket.write(`${JSON.stringify(answer)}\n`)
    const reader = new LineReader((line) => say(this.#answer(parseRequest(line))))
    socket.setEncoding('utf8').on('data', (text: string) => {
      try {
        reader.push(text)
      } catch {
        // Nobody who means well sends this.
        socket.destroy()
      }
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }

  #answer(request: StoreRequest): StoreAnswer {
    switch (request.kind) {
      case 'heartbeat':
        return { kind: 'view', view: this.#directory.heartbeat(request.record, seconds()) }
      case 'propose':
        return { kind: 'view', view: this.#directory.propose(request.revision, request.generation, seconds()) }
      case 'leave':
        return { kind: 'view', view: this.#directory.leave(request.name, request.life, seconds()) }
      case 'put':
        return this.#put(request)
      case 'read':
        return { kind: 'value', value: this.#values.get(request.generation)?.get(request.key) }
    }
  }

  #put({ generation, key, value }: Extract<StoreRequest, { kind: 'put' }>): StoreAnswer {
    const values = this.#values.get(generation) ?? new Map<string, string>()
    this.#values.set(generation, values)
    const [oldest] = this.#values.keys()
    if (this.#values.size > KEPT_GENERATIONS) this.#values.delete(oldest!)
    const known = values.get(key)
    if (known !== undefined && known !== value) return { kind: 'refused', reason: `${key} is taken` }
    if (values.size >= MOST_KEYS) return { kind: 'refused', reason: 'the store is full' }
    values.set(key, value)
    return { kind: 'value', value }
  }
}
