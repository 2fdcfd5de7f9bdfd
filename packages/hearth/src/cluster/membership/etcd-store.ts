// Membership in etcd, for clusters that have one: records under leases, the generation by compare-and-swap, so that there
// is one truth and no single machine to lose. Speaks the JSON gateway that every etcd since 3.4 serves beside gRPC; each
// endpoint is tried in turn. Not here: what the records mean (membership.ts).
import { HearthError } from '@hearth/torch'
import { LEASE_SECONDS } from './directory.js'
import type { Generation, MemberRecord, View } from './records.js'
import type { MembershipStore } from './store.js'
import { generationSchema, recordSchema } from './wire.js'

export interface EtcdOptions {
  /** As `http://10.0.0.5:2379`. */
  endpoints: readonly string[]
  /** Before all keys of this run. */
  prefix: string
  /** Of a user of etcd, when it asks for one; `name:password`. */
  credentials?: string
}

const ANSWER_SECONDS = 1.5
/** Keys of generations go by themselves. */
const KEYS_SECONDS = 600
/** So does the word that a run is over, after all have heard it: whoever is started later begins anew. */
const FINISHED_SECONDS = 20

interface KeyValue {
  key: string
  value?: string
  mod_revision: string
}

type Answer = Record<string, unknown>

const encode = (text: string | Uint8Array) => Buffer.from(text).toString('base64')
const decode = (text: string) => Buffer.from(text, 'base64').toString()
/** The first key after all that begin so. */
const endOf = (prefix: string) => prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)

export class EtcdStore implements MembershipStore {
  readonly #options: EtcdOptions
  readonly #closed = new AbortController()
  #endpoint = 0
  #token: string | undefined
  #lease: string | undefined
  #written: string | undefined
  #keysLease: string | undefined

  constructor(options: EtcdOptions) {
    this.#options = options
  }

  async heartbeat(record: MemberRecord): Promise<View | undefined> {
    try {
      await this.#keep(record)
      return await this.#view()
    } catch {
      // As a store that does not answer: tried again with the next heartbeat.
      this.#written = undefined
      return undefined
    }
  }

  async propose(revision: number, generation: Generation): Promise<View | undefined> {
    const key = encode(this.#key('generation'))
    try {
      const lease = generation.finished ? { lease: await this.#grant(FINISHED_SECONDS) } : {}
      await this.#post('kv/txn', {
        compare: [{ key, target: 'MOD', result: 'EQUAL', mod_revision: String(revision) }],
        success: [{ request_put: { key, value: encode(JSON.stringify(generation)), ...lease } }],
      })
      return await this.#view()
    } catch {
      return undefined
    }
  }

  async leave({ name, life }: MemberRecord): Promise<void> {
    const held = (await this.#range(this.#key(`members/${name}`)).catch(() => []))[0]
    const isOwn = held !== undefined && (JSON.parse(decode(held.value ?? '')) as MemberRecord).life === life
    if (isOwn && this.#lease !== undefined) await this.#post('lease/revoke', { ID: this.#lease }).catch(() => undefined)
  }

  async put({ id }: Generation, name: string, value: Uint8Array): Promise<void> {
    this.#keysLease ??= await this.#grant(KEYS_SECONDS)
    const key = encode(this.#key(`keys/${id}/${name}`))
    const { succeeded } = await this.#post('kv/txn', {
      compare: [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
      success: [{ request_put: { key, value: encode(value), lease: this.#keysLease } }],
    })
    if (succeeded === true) return
    const known = await this.read({ id } as Generation, name)
    if (known === undefined || Buffer.compare(known, value) !== 0) throw new HearthError(`${name} is taken`)
  }

  async read({ id }: Generation, name: string): Promise<Uint8Array | undefined> {
    const [found] = await this.#range(this.#key(`keys/${id}/${name}`))
    return found && Buffer.from(found.value ?? '', 'base64')
  }

  close(): void {
    this.#closed.abort()
  }

  #key(name: string): string {
    return `${this.#options.prefix}/${name}`
  }

  /** Keeps the lease alive, and the record as it is now under it. */
  async #keep(record: MemberRecord): Promise<void> {
    if (this.#lease !== undefined) {
      const { result } = await this.#post('lease/keepalive', { ID: this.#lease })
      // A lease that ended has no time left, and its record is gone.
      if (Number((result as { TTL?: string } | undefined)?.TTL ?? 0) <= 0) this.#lease = undefined
    }
    if (this.#lease === undefined) {
      this.#lease = await this.#grant(LEASE_SECONDS)
      this.#written = undefined
    }
    const value = JSON.stringify(record)
    if (value === this.#written) return
    await this.#post('kv/put', {
      key: encode(this.#key(`members/${record.name}`)),
      value: encode(value),
      lease: this.#lease,
    })
    this.#written = value
  }

  async #grant(seconds: number): Promise<string> {
    return (await this.#post('lease/grant', { TTL: String(seconds) })).ID as string
  }

  async #view(): Promise<View> {
    // One question, so that both are of one moment: generation and members/ are neighbours.
    const [generation] = await this.#range(this.#key('generation'))
    const members = await this.#range(this.#key('members/'), true)
    return {
      revision: Number(generation?.mod_revision ?? 0),
      generation: generation && generationSchema.parse(JSON.parse(decode(generation.value ?? ''))),
      members: members.map(({ value }) => recordSchema.parse(JSON.parse(decode(value ?? '')))),
    }
  }

  async #range(key: string, isPrefix = false): Promise<KeyValue[]> {
    const end = isPrefix ? { range_end: encode(endOf(key)) } : {}
    const { kvs } = await this.#post('kv/range', { key: encode(key), ...end })
    return (kvs as KeyValue[] | undefined) ?? []
  }

  /** Asks one endpoint after the other, from the last that answered on. */
  async #post(path: string, body: object): Promise<Answer> {
    const { endpoints } = this.#options
    let failure: unknown
    const first = this.#endpoint
    for (const tries of endpoints.keys()) {
      const endpoint = endpoints[(first + tries) % endpoints.length]!
      try {
        return await this.#ask(endpoint, path, body)
      } catch (error) {
        if (error instanceof HearthError) throw error
        failure = error
        this.#endpoint = (first + tries + 1) % endpoints.length
      }
    }
    throw failure
  }

  async #ask(endpoint: string, path: string, body: object): Promise<Answer> {
    const { credentials } = this.#options
    if (credentials !== undefined) this.#token ??= await this.#authenticate(endpoint, credentials)
    const response = await this.#send(endpoint, path, body)
    const answer = (await response.json()) as Answer
    if (response.ok) return answer
    this.#token = undefined
    throw new HearthError(`etcd at ${endpoint} refuses ${path}: ${String(answer.error ?? answer.message)}`, {
      remedy: 'look whether it is etcd 3.4 or newer, and whether the user that is given may write under the prefix',
    })
  }

  async #authenticate(endpoint: string, credentials: string): Promise<string> {
    const [name, ...password] = credentials.split(':')
    const response = await this.#send(endpoint, 'auth/authenticate', { name, password: password.join(':') })
    return ((await response.json()) as { token?: string }).token ?? ''
  }

  #send(endpoint: string, path: string, body: object): Promise<Response> {
    return fetch(`${endpoint.replace(/\/$/, '')}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: this.#token ? { authorization: this.#token } : {},
      signal: AbortSignal.any([this.#closed.signal, AbortSignal.timeout(ANSWER_SECONDS * 1000)]),
    })
  }
}
