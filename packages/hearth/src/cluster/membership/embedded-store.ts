// The default store: every host of the run serves one, and machines tell all of them that they are there, but go by the
// earliest host that answers. So no host is special: when it dies, the store of the next counts, and its view is whole at
// once. Not here: who serves (embedded-server.ts).
import { HearthError } from '@hearth/torch'
import { EmbeddedClient, type StoreAddress } from './embedded-client.js'
import type { Generation, MemberRecord, View } from './records.js'
import { StoreChoice } from './store-choice.js'
import type { MembershipStore } from './store.js'
import type { StoreAnswer, StoreRequest } from './wire.js'

/** A host that takes longer is asked again. */
const ANSWER_SECONDS = 1.5

const seconds = () => performance.now() / 1000

export class EmbeddedStore implements MembershipStore {
  readonly #clients: EmbeddedClient[]
  readonly #choice: StoreChoice
  /** Hosts that still owe an answer. */
  readonly #asked = new Set<number>()
  readonly #views: (View | undefined)[] = []

  /** @param addresses of all hosts, in their order */
  constructor(addresses: readonly StoreAddress[]) {
    this.#clients = addresses.map((address) => new EmbeddedClient(address))
    this.#choice = new StoreChoice(addresses.length, seconds())
  }

  async heartbeat(record: MemberRecord): Promise<View | undefined> {
    const answers = this.#clients.map((_, host) => this.#beat(host, record))
    const chosen = this.#choice.chosen(seconds())
    // Whoever is silent must not hold up the one that counts.
    if (chosen === undefined) await Promise.race(answers)
    else await answers[chosen]
    const now = this.#choice.chosen(seconds())
    return now === undefined ? undefined : this.#views[now]
  }

  async propose(revision: number, generation: Generation): Promise<View | undefined> {
    const answer = await this.#ask({ kind: 'propose', revision, generation }).catch(() => undefined)
    return answer?.kind === 'view' ? viewOf(answer) : undefined
  }

  async leave({ name, life }: MemberRecord): Promise<void> {
    const bye = { kind: 'leave', name, life } as const
    await Promise.allSettled(this.#clients.map((client) => client.ask(bye, ANSWER_SECONDS)))
  }

  async put({ id }: Generation, key: string, value: Uint8Array): Promise<void> {
    const text = Buffer.from(value).toString('base64')
    const answer = await this.#ask({ kind: 'put', generation: id, key, value: text })
    if (answer.kind === 'refused') throw new HearthError(answer.reason)
  }

  async read({ id }: Generation, key: string): Promise<Uint8Array | undefined> {
    const answer = await this.#ask({ kind: 'read', generation: id, key })
    return answer.kind === 'value' && answer.value !== undefined ? Buffer.from(answer.value, 'base64') : undefined
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  async #beat(host: number, record: MemberRecord): Promise<void> {
    if (this.#asked.has(host)) return
    this.#asked.add(host)
    try {
      const answer = await this.#clients[host]!.ask({ kind: 'heartbeat', record }, ANSWER_SECONDS)
      if (answer.kind !== 'view') return
      this.#views[host] = viewOf(answer)
      this.#choice.heard(host, seconds())
    } catch (error) {
      // Silence is what is looked for.
      if ((error as Error).message.includes('ECONNREFUSED')) this.#choice.refused(host)
    } finally {
      this.#asked.delete(host)
    }
  }

  async #ask(request: StoreRequest): Promise<StoreAnswer> {
    const chosen = this.#choice.chosen(seconds())
    if (chosen === undefined) throw new HearthError('no host of the run answers')
    return await this.#clients[chosen]!.ask(request, ANSWER_SECONDS)
  }
}

const viewOf = ({ view }: Extract<StoreAnswer, { kind: 'view' }>): View => ({
  revision: view.revision,
  generation: view.generation,
  members: view.members,
})
