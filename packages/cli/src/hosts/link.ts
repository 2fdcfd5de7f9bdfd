// The link between two hosts, measured: whether the port to meet on answers to the secret, how long a byte takes there and
// back, and how fast bytes flow. What is sent is of fixed length, and nothing of it is parsed. Not here: which hosts
// (examine.ts).
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { IDENTITY, keyOf, WIRE } from '@hearth/torch'

/** Where a host can be met and measured. */
export interface LinkAddress {
  address: string
  /** On which it meets the others, behind the secret. */
  port: number
  /** On which it counts bytes: any free one, as the connections of a run have. */
  wirePort: number
  /** Lets a connection in there, in hexadecimal. */
  token: string
}

export interface Link {
  latencySeconds: number
  bytesPerSecond: number
}

const PATIENCE_MILLISECONDS = 5000
const PINGS = 21
const FLOW_SECONDS = 0.5
const CHUNK = Buffer.alloc(2 ** 20)
const TOKEN_BYTES = 32
const COUNT_BYTES = 8

/** The side that is measured against. */
export class LinkServer {
  readonly at: LinkAddress
  readonly #servers: readonly Server[]
  readonly #sockets = new Set<Socket>()

  private constructor(at: LinkAddress, servers: readonly Server[]) {
    this.at = at
    this.#servers = servers
    for (const server of servers)
      server.on('connection', (socket: Socket) => {
        this.#sockets.add(socket)
        socket.on('close', () => this.#sockets.delete(socket))
      })
  }

  /** @throws Error of the system when the address is not of this host, or the port is taken */
  static async listen(address: string, port: number, secret: string): Promise<LinkServer> {
    const token = randomBytes(TOKEN_BYTES)
    const pskCallback = (_: unknown, identity: string) => (identity === IDENTITY ? keyOf(secret) : null)
    const meeting = createTlsServer({ ...WIRE, pskIdentityHint: IDENTITY, pskCallback }, (socket) => {
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.pipe(socket)
    })
    meeting.on('tlsClientError', (_, socket) => socket.destroy())
    const wire = createServer({ allowHalfOpen: true }, (socket) => count(socket, token))
    await listening(meeting, address, port)
    await listening(wire, address, 0)
    const { port: wirePort } = wire.address() as AddressInfo
    return new LinkServer({ address, port, wirePort, token: token.toString('hex') }, [meeting, wire])
  }

  close(): void {
    for (const server of this.#servers) server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

async function listening(server: Server, address: string, port: number): Promise<void> {
  server.listen(port, address)
  await once(server, 'listening')
}

/** Says how many bytes came after the token, once the other side is done. */
function count(socket: Socket, token: Buffer): void {
  let [head, bytes] = [Buffer.alloc(0), 0]
  socket.setTimeout(PATIENCE_MILLISECONDS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => {
    if (head.length === TOKEN_BYTES) bytes += data.length
    else {
      head = Buffer.concat([head, data])
      bytes = Math.max(0, head.length - TOKEN_BYTES)
      head = head.subarray(0, TOKEN_BYTES)
      if (head.length === TOKEN_BYTES && !timingSafeEqual(head, token)) socket.destroy()
    }
  })
  socket.on('end', () => {
    const answer = Buffer.alloc(COUNT_BYTES)
    answer.writeBigUInt64LE(BigInt(bytes))
    socket.end(answer)
  })
}

/**
 * Measures the way to another host.
 * @throws Error that says which port does not answer, and why
 */
export async function measureLink(to: LinkAddress, secret: string): Promise<Link> {
  const latencySeconds = await told(`port ${to.port} to meet on`, () => measureLatency(to, secret))
  const bytesPerSecond = await told(`port ${to.wirePort}, one of those that gradients take`, () => measureFlow(to))
  return { latencySeconds, bytesPerSecond }
}

async function told<T>(what: string, measure: () => Promise<T>): Promise<T> {
  try {
    return await measure()
  } catch (cause) {
    throw new Error(`${what}: ${(cause as Error).message}`, { cause })
  }
}

async function measureLatency({ address: host, port }: LinkAddress, secret: string): Promise<number> {
  const pskCallback = () => ({ psk: keyOf(secret), identity: IDENTITY })
  const socket = connectTls({ ...WIRE, host, port, pskCallback, checkServerIdentity: () => undefined })
  return await within(socket, async () => {
    await once(socket, 'secureConnect')
    socket.setNoDelay(true)
    const times: number[] = []
    while (times.length < PINGS) {
      const started = performance.now()
      socket.write('.')
      await once(socket, 'data')
      times.push((performance.now() - started) / 1000)
    }
    return times.sort((a, b) => a - b)[PINGS >> 1]!
  })
}

async function measureFlow({ address: host, wirePort: port, token }: LinkAddress): Promise<number> {
  const socket = connect({ host, port, allowHalfOpen: true })
  return await within(socket, async () => {
    await once(socket, 'connect')
    socket.write(Buffer.from(token, 'hex'))
    const started = performance.now()
    const seconds = () => (performance.now() - started) / 1000
    while (seconds() < FLOW_SECONDS) if (!socket.write(CHUNK)) await once(socket, 'drain')
    socket.end()
    const [answer] = (await once(socket, 'data')) as [Buffer]
    if (answer.length !== COUNT_BYTES) throw new Error('something else answers there')
    return Number(answer.readBigUInt64LE()) / seconds()
  })
}

/** Ends what takes too long, and the connection in any case. */
async function within<T>(socket: Socket, measure: () => Promise<T>): Promise<T> {
  const late = () => socket.destroy(new Error(`no answer within ${PATIENCE_MILLISECONDS / 1000} s`))
  const timer = setTimeout(late, PATIENCE_MILLISECONDS)
  let isOver = false
  const hungUp = new Promise<never>((_, reject) => {
    socket.on('error', reject)
    socket.on('close', () => {
      if (!isOver) reject(new Error('it hangs up; is another program there?'))
    })
  })
  try {
    return await Promise.race([measure(), hungUp])
  } finally {
    isOver = true
    hungUp.catch(() => undefined)
    clearTimeout(timer)
    socket.destroy()
  }
}
