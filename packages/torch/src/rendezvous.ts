// How the members of a group find each other: a directory in which each leaves short values under keys and waits for those
// of the others. Here are the interface, which a cluster's own store can implement (etcd), and the client of the directory
// that a Hearth process serves (rendezvous-server.ts). Not here: what the values mean (comm.ts).
import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import { HearthError, type ConfigIssue } from './errors.js'
import { encodeFrame, FrameReader, type Frame } from './rendezvous-frame.js'

/** A directory of one group. Keys start with the generation: `3/member/0`. */
export interface Rendezvous {
  /** Leaves a value. A key is set once: it rejects where the key has another value. */
  set(key: string, value: Uint8Array): Promise<void>
  /** The value, as soon as somebody leaves it. */
  get(key: string): Promise<Uint8Array>
  close(): void
}

/** Where a directory is served. */
export interface RendezvousAddress {
  host: string
  port: number
  /** The run's secret; it may be left out only on a loopback address. */
  secret?: string
}

const SHORTEST_SECRET = 16

/**
 * The wire is TLS 1.2 with a key that both sides already have: who does not know the secret gets no further than the
 * handshake, and nothing that is not encrypted with it is ever parsed.
 */
export const WIRE = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const
export const IDENTITY = 'hearth'
export const keyOf = (secret: string | undefined) =>
  createHmac('sha256', secret ?? '')
    .update('hearth rendezvous')
    .digest()

const isLoopback = (host: string) => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/** What is wrong with a secret for an address that others may reach, each with the path of the secret's field. */
export function secretIssues(host: string, secret: string | undefined, path = 'secret'): ConfigIssue[] {
  if (secret === undefined)
    return isLoopback(host)
      ? []
      : [{ path, message: `${host} is not a loopback address: others can reach it, so it needs one` }]
  if (Buffer.byteLength(secret) >= SHORTEST_SECRET) return []
  return [
    { path, message: `too short to keep anybody out: take at least ${SHORTEST_SECRET} bytes, better 32 random ones` },
  ]
}

interface Pending {
  resolve: (value: Uint8Array) => void
  reject: (error: Error) => void
}

/** A directory that another process serves. */
export class RendezvousClient implements Rendezvous {
  readonly #socket: TLSSocket
  readonly #pending = new Map<number, Pending>()
  #questions = 0
  #failure: Error | undefined

  private constructor(socket: TLSSocket) {
    this.#socket = socket
    const reader = new FrameReader((frame) => this.#take(frame))
    socket.on('data', (data: Buffer) => {
      try {
        reader.push(data)
      } catch (error) {
        this.#fail(error as Error)
      }
    })
    socket.on('error', (error: Error) => this.#fail(error))
    socket.on('close', () => this.#fail(new HearthError('the connection to the rendezvous ended')))
  }

  /**
   * Connects, again and again while nobody listens there yet.
   * @throws HearthError when the secret is another one, or nobody listens until `signal` aborts.
   */
  static async connect(address: RendezvousAddress, signal: AbortSignal): Promise<RendezvousClient> {
    for (;;) {
      try {
        return new RendezvousClient(await open(address, signal))
      } catch (error) {
        if (signal.aborted || !isTemporary(error as NodeJS.ErrnoException)) throw inWords(error as Error, address)
      }
      await sleep(50, undefined, { signal }).catch(() => undefined)
    }
  }

  async set(key: string, value: Uint8Array): Promise<void> {
    await this.#ask({ kind: 'set', key, value })
  }

  get(key: string): Promise<Uint8Array> {
    return this.#ask({ kind: 'get', key, value: new Uint8Array() })
  }

  close(): void {
    this.#fail(new HearthError('the connection to the rendezvous was closed'))
  }

  #ask(question: { kind: 'set' | 'get'; key: string; value: Uint8Array }): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        return
      }
      const id = ++this.#questions
      this.#pending.set(id, { resolve, reject })
      this.#socket.write(encodeFrame({ ...question, id }))
    })
  }

  #take({ kind, id, key, value }: Frame): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (kind === 'refused') pending?.reject(new HearthError(key))
    else pending?.resolve(value)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const { reject } of this.#pending.values()) reject(this.#failure)
    this.#pending.clear()
    this.#socket.destroy()
  }
}

function open({ host, port, secret }: RendezvousAddress, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // The key is the proof; there are no certificates to check.
    const socket = connect({
      ...WIRE,
      host,
      port,
      pskCallback: () => ({ psk: keyOf(secret), identity: IDENTITY }),
      checkServerIdentity: () => undefined,
    })
    const stop = () => socket.destroy(new Error('nobody answers'))
    signal.addEventListener('abort', stop, { once: true })
    socket.setNoDelay(true)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('it hung up')))
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', stop)
      socket.removeListener('error', reject)
      resolve(socket)
    })
  })
}

const isTemporary = (error: NodeJS.ErrnoException) =>
  ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT'].includes(error.code ?? '')

function inWords(cause: NodeJS.ErrnoException, { host, port }: RendezvousAddress): HearthError {
  const refused = /^ERR_SSL_.*(MAC|DECRYPT|PSK|HANDSHAKE_FAILURE)/.test(cause.code ?? '')
  const message = refused ? 'it has another secret' : cause.message
  const remedy = refused
    ? 'give all members of a run, and the one who serves its rendezvous, the same secret'
    : 'look whether the process that serves it runs, and whether a firewall is between'
  return new HearthError(`no rendezvous at ${host}:${port}: ${message}`, { cause, remedy })
}
