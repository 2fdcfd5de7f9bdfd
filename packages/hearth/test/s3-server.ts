// A real S3 server (s3rver) on loopback, with its files in a temporary folder, that can be made to fail: refuse, stand
// still, or cut a connection in the middle. It knows one key, S3RVER with the secret S3RVER.
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface S3rver {
  configureBuckets(): Promise<unknown>
  callback(): (request: IncomingMessage, response: ServerResponse) => void
}

const require = createRequire(import.meta.url)
const S3rver = require('@20minutes/s3rver') as new (options: object) => S3rver

// It hides where the next page of a listing begins behind a cipher that OpenSSL no longer has; here it is plain.
const crypto = require('node:crypto') as Record<string, (algorithm: string, ...rest: unknown[]) => unknown>
const plain = { update: (bytes: Uint8Array) => Buffer.from(bytes), final: () => Buffer.alloc(0) }
for (const name of ['createCipheriv', 'createDecipheriv']) {
  const make = crypto[name]!
  crypto[name] = (algorithm, ...rest) => (algorithm === 'des' ? plain : make(algorithm, ...rest))
}

/** What happens to a request in place of its answer. */
export type S3Fault = 'error 500' | 'no answer' | 'cut upload' | 'cut answer'

interface Planned {
  fault: S3Fault
  /** Method and path of the requests that meet it. */
  match: RegExp
  /** Requests that meet it. */
  times: number
}

export const BUCKET = 'runs'

export class S3Server {
  /** Method and path of every request so far. */
  readonly requests: string[] = []
  readonly endpoint: string
  /** Called with each request before it is answered. */
  onRequest: (name: string) => void = () => undefined
  readonly #server: Server
  readonly #folder: string
  #planned: Planned | undefined

  private constructor(server: Server, folder: string) {
    this.#server = server
    this.#folder = folder
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(): Promise<S3Server> {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-s3-'))
    const s3 = new S3rver({ directory: folder, silent: true, configureBuckets: [{ name: BUCKET }] })
    await s3.configureBuckets()
    // It signs the listing of a bucket without the slash that clients put behind the name: that one it takes unsigned.
    const isListing = new AsyncLocalStorage<boolean>()
    Object.defineProperty(s3, 'allowMismatchedSignatures', { get: () => isListing.getStore() })
    const answer = s3.callback()
    const server = createServer((request, response) => {
      if (!started.#interfere(request, response))
        isListing.run(/^\/[^/]+\/\?/.test(request.url!), () => answer(request, response))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const started = new S3Server(server, folder)
    return started
  }

  /** The next requests that match meet a fault; then the server works again. */
  fail(fault: S3Fault, match: RegExp, times = Infinity): void {
    this.#planned = { fault, match, times }
  }

  mend(): void {
    this.#planned = undefined
  }

  /** Changes an object behind everyone's back. */
  tamper(key: string, change: (bytes: Buffer) => Buffer): void {
    const object = join(this.#folder, BUCKET, key)
    const file = readdirSync(this.#folder, { recursive: true })
      .map((name) => join(this.#folder, String(name)))
      .find((name) => name.startsWith(object) && name.endsWith('_object'))!
    writeFileSync(file, change(readFileSync(file)))
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
    rmSync(this.#folder, { recursive: true })
  }

  /** Whether the request met a fault, and needs no answer. */
  #interfere(request: IncomingMessage, response: ServerResponse): boolean {
    const name = `${request.method} ${request.url}`
    this.requests.push(name)
    this.onRequest(name)
    const planned = this.#planned
    if (planned === undefined || planned.times === 0 || !planned.match.test(name)) return false
    planned.times--
    if (planned.fault === 'error 500') {
      request.resume()
      response.writeHead(500, { 'content-type': 'application/xml' })
      response.end('<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>')
    } else if (planned.fault === 'cut upload') {
      let got = 0
      request.on('data', (bytes: Buffer) => (got += bytes.length) >= 1000 && request.socket.destroy())
    } else if (planned.fault === 'cut answer') {
      const write = response.write.bind(response) as (chunk: Buffer) => boolean
      // Of the rest, asked for again, nothing comes at all.
      const sent = request.headers.range === undefined ? 0.5 : 0
      response.write = (chunk: Buffer) => {
        write(chunk.subarray(0, Math.ceil(sent * chunk.length)))
        setImmediate(() => request.socket.destroy())
        return true
      }
      return false
    } else request.resume()
    return true
  }
}
