// A directory served to the members of one group by a process that they all can reach: a supervisor, or one of them. It is
// needed only while a group forms; members that have joined do without it. See rendezvous.ts for the wire.
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { encodeFrame, FrameReader, type Frame } from './rendezvous-frame.js'
import { ConfigError } from './errors.js'
import { IDENTITY, keyOf, secretIssues, WIRE } from './rendezvous.js'

export interface RendezvousServerOptions {
  /** The address to listen on; loopback unless another is given, which takes a secret. */
  host?: string
  /** 0, the default, takes a free one. */
  port?: number
  secret?: string
}

/** Bytes that all values of a generation may have together. */
const MOST_BYTES = 64 * 2 ** 20
const MOST_CONNECTIONS = 4096
const HANDSHAKE_MILLISECONDS = 5000

interface Waiting {
  socket: TLSSocket
  id: number
}

/**
 * Serves a directory.
 * @example
 * const server = await RendezvousServer.listen({ secret: randomBytes(32).toString('hex') })
 * // each member: ProcessGroup.join({ store: { host: '127.0.0.1', port: server.port, secret }, rank, size: 4, ... })
 */
export class RendezvousServer {
  readonly #server: Server
  readonly #values = new Map<string, Uint8Array>()
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #sockets = new Set<TLSSocket>()
  #generation = 0
  #bytes = 0

  private constructor(secret: string | undefined) {
    const key = keyOf(secret)
    this.#server = createServer(
      {
        ...WIRE,
        pskIdentityHint: IDENTITY,
        pskCallback: (_, identity) => (identity === IDENTITY ? key : null),
        handshakeTimeout: HANDSHAKE_MILLISECONDS,
      },
      (socket) => this.#welcome(socket),
    )
    this.#server.maxConnections = MOST_CONNECTIONS
    // Strangers that knock are no news.
    this.#server.on('tlsClientError', (_, socket) => socket.destroy())
  }

  /** @throws ConfigError where others could reach it and no good secret keeps them out; Error when it cannot listen there */
  static async listen(options: RendezvousServerOptions = {}): Promise<RendezvousServer> {
    const { host = '127.0.0.1', port = 0, secret } = options
    const issues = secretIssues(host, secret)
    if (issues.length > 0) throw new ConfigError('the rendezvous', issues)
    const made = new RendezvousServer(secret)
    await new Promise<void>((resolve, reject) => {
      made.#server.once('error', reject)
      made.#server.listen(port, host, resolve)
    })
    return made
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #welcome(socket: TLSSocket): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    const reader = new FrameReader((frame) => this.#take(socket, frame))
    socket.on('data', (data: Buffer) => {
      try {
        reader.push(data)
      } catch {
        socket.destroy()
      }
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#sockets.delete(socket)
      for (const [key, list] of this.#waiting) {
        const left = list.filter((waiting) => waiting.socket !== socket)
        if (left.length > 0) this.#waiting.set(key, left)
        else this.#waiting.delete(key)
      }
    })
  }

  #take(socket: TLSSocket, { kind, id, key, value }: Frame): void {
    const refusal = this.#enter(key) ?? (kind === 'set' ? this.#set(key, value) : undefined)
    if (refusal !== undefined) {
      refuse(socket, id, refusal)
      return
    }
    if (kind === 'set') {
      answer(socket, id, new Uint8Array())
      return
    }
    const known = this.#values.get(key)
    if (known !== undefined) answer(socket, id, known)
    else this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { socket, id }])
  }

  /** A key's generation is the newest, or becomes it: what older ones left is dropped. Otherwise why it is refused. */
  #enter(key: string): string | undefined {
    const generation = /^(\d{1,15})\//.exec(key)?.[1]
    if (generation === undefined) return `a key begins with its generation, got ${key}`
    if (Number(generation) < this.#generation)
      return `generation ${generation} of the group is over, ${this.#generation} has begun`
    if (Number(generation) === this.#generation) return undefined
    this.#generation = Number(generation)
    this.#values.clear()
    this.#bytes = 0
    for (const { socket, id } of [...this.#waiting.values()].flat())
      refuse(socket, id, `generation ${generation} of the group has begun meanwhile`)
    this.#waiting.clear()
    return undefined
  }

  #set(key: string, value: Uint8Array): string | undefined {
    const known = this.#values.get(key)
    if (known !== undefined) return Buffer.compare(known, value) === 0 ? undefined : `${key} is taken`
    if (this.#bytes + value.length > MOST_BYTES) return 'the rendezvous is full'
    this.#bytes += value.length
    this.#values.set(key, value)
    for (const { socket, id } of this.#waiting.get(key) ?? []) answer(socket, id, value)
    this.#waiting.delete(key)
    return undefined
  }
}

const answer = (socket: TLSSocket, id: number, value: Uint8Array) =>
  void socket.write(encodeFrame({ kind: 'value', id, key: '', value }))
const refuse = (socket: TLSSocket, id: number, why: string) =>
  void socket.write(encodeFrame({ kind: 'refused', id, key: why.slice(0, 500), value: new Uint8Array() }))
