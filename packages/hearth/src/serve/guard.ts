// Who may speak to the server, before anything else of a request is looked at. Without a key it is for programs of this
// machine: pages of the web, which browsers let reach it under other names (DNS rebinding), are refused.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { ConfigError } from '@hearth/torch'
import { ApiError } from './api-error.js'

export interface GuardOptions {
  /** The address that is listened on. */
  host: string
  /** Any of them opens the server; none: no key is asked for. */
  keys: readonly string[]
  /** Names of this server besides localhost, its addresses and this machine's. */
  allowedHosts: readonly string[]
  /** Pages that may call it, as `https://example.org`; `*` for all. */
  allowedOrigins: readonly string[]
}

const SHORTEST_KEY = 16

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/** @throws ConfigError when the server would be open to others without a key */
export function checkGuard({ host, keys }: GuardOptions): void {
  const issues = []
  if (keys.length === 0 && !isLoopback(host))
    issues.push({ path: 'host', message: `${host} can be reached from other machines, so a key is needed` })
  if (keys.some((key) => key.length < SHORTEST_KEY))
    issues.push({ path: 'key', message: `a key has at least ${SHORTEST_KEY} characters` })
  if (issues.length > 0) throw new ConfigError('serve', issues)
}

/** Refuses requests that may not be. @returns the origin that may read the answer, where a page asks */
export class Guard {
  readonly #digests: readonly Buffer[]
  readonly #options: GuardOptions

  /** @throws ConfigError as checkGuard() */
  constructor(options: GuardOptions) {
    checkGuard(options)
    this.#options = options
    this.#digests = options.keys.map(digest)
  }

  /**
   * @param needsKey false for what anybody may ask
   * @throws ApiError 401 or 403
   */
  check(headers: IncomingHttpHeaders, needsKey: boolean): string | undefined {
    this.#checkHost(headers.host)
    const origin = this.#checkOrigin(headers)
    if (needsKey && this.#digests.length > 0) this.#checkKey(headers.authorization)
    return origin
  }

  #checkHost(header: string | undefined): void {
    const name = nameIn(header)
    const { host, allowedHosts } = this.#options
    const known = ['localhost', host, hostname(), ...allowedHosts].map((each) => each.toLowerCase())
    // An address cannot be rebound: a browser that shows one in its bar is at that address.
    if (name !== undefined && (isIP(name) !== 0 || known.includes(name))) return
    throw new ApiError(403, `the Host header ${JSON.stringify(header)} is no name of this server`, {
      code: 'host_not_allowed',
      remedy: 'start it with --allow-host NAME, or call it by its address',
    })
  }

  #checkOrigin({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): string | undefined {
    const { allowedOrigins } = this.#options
    if (origin === undefined) {
      if (site !== 'cross-site' && site !== 'same-site') return undefined
      throw new ApiError(403, 'pages of other sites may not call this server', { code: 'origin_not_allowed' })
    }
    const same = host !== undefined && [`http://${host}`, `https://${host}`].includes(origin.toLowerCase())
    if (same || allowedOrigins.includes(origin) || allowedOrigins.includes('*')) return origin
    throw new ApiError(403, `pages of ${JSON.stringify(origin.slice(0, 200))} may not call this server`, {
      code: 'origin_not_allowed',
      remedy: 'start it with --allow-origin ORIGIN',
    })
  }

  #checkKey(authorization = ''): void {
    const given = digest(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '')
    // Every key is compared, in constant time.
    const matches = this.#digests.filter((key) => timingSafeEqual(key, given))
    if (matches.length === 0)
      throw new ApiError(401, 'this server needs a key: Authorization: Bearer KEY', { code: 'invalid_api_key' })
  }
}

const digest = (key: string): Buffer => createHash('sha256').update(key).digest()

/** The name or address in a Host header, without its port. */
function nameIn(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}
