// A machine among the others, in real time: it keeps its record in the store, does what the state machine says
// (membership.ts), and gives the process group of the newest generation. Not here: what is done in the group.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommError, HearthError, ProcessGroup } from '@hearth/torch'
import { Membership, type MembershipEffect, type MembershipOptions } from './membership.js'
import type { Generation } from './records.js'
import { rendezvousOf, type MembershipStore } from './store.js'

export interface MemberOptions extends Omit<MembershipOptions, 'life'> {
  store: MembershipStore
}

/** A group that is connected. */
export interface Formed {
  group: ProcessGroup
  generation: Generation
  rank: number
}

interface Target {
  generation: Generation
  rank: number
  /** Another generation has begun. */
  over: AbortController
}

const HEARTBEAT_MILLISECONDS = 250
const JOIN_SECONDS = 8
/** So that all others have asked this machine's store once more. */
const LINGER_MILLISECONDS = 1000
/** Members do long work between operations; that one is gone, the system, its heartbeat or its own supervisor notices. */
const OPERATION_SECONDS = 86_400

const seconds = () => performance.now() / 1000

/** The run is done, or this machine has no place in it. */
export class MemberEnd extends HearthError {
  readonly how: 'finished' | 'replaced' | 'refused'

  constructor({ how, reason }: Extract<MembershipEffect, { kind: 'end' }>) {
    super(`this machine leaves the run: ${reason}`)
    this.how = how
  }
}

export class Member {
  readonly #membership: Membership
  readonly #store: MembershipStore
  readonly #timer: NodeJS.Timeout
  #target: Target | undefined
  #formed: Formed | undefined
  #end: MemberEnd | undefined
  #beating = false
  #wake: () => void = () => undefined

  constructor({ store, ...options }: MemberOptions) {
    this.#membership = new Membership({ ...options, life: randomUUID() })
    this.#store = store
    this.#timer = setInterval(() => void this.#beat(), HEARTBEAT_MILLISECONDS)
    void this.#beat()
  }

  /** Whether the group should end with this step, for a newer one. */
  get isDue(): boolean {
    return this.#membership.isDue
  }

  /**
   * The group of the newest generation, as soon as it is connected.
   * @throws MemberEnd when there is none for this machine any more
   */
  async group(signal?: AbortSignal): Promise<Formed> {
    for (;;) {
      if (this.#end) throw this.#end
      signal?.throwIfAborted()
      if (this.#target === undefined) await this.#waits(signal)
      else {
        const formed = await this.#join(this.#target)
        if (formed) return formed
      }
    }
  }

  /** A step was committed in the group. */
  worked(): void {
    this.#apply(this.#membership.worked())
  }

  /** Leaves the group at the end of a step, as all its members do. */
  async leave(): Promise<void> {
    await this.#formed?.group.leave()
    this.#formed = undefined
    this.#target = undefined
    this.#apply(this.#membership.left(seconds()))
  }

  /** The group failed; who is to blame is in the error. */
  broke(error: CommError): readonly string[] {
    const formed = this.#formed
    this.#formed = undefined
    if (formed === undefined) return []
    void formed.group.leave()
    return this.#fell(formed.generation, error.peers)
  }

  /** Says that the run is done. */
  async finish(): Promise<void> {
    for (const effect of this.#membership.finish())
      if (effect.kind === 'propose') await this.#store.propose(effect.revision, effect.generation)
  }

  /** Resolves when it is known here that the run is done, or after that time; others may learn of it from this machine. */
  async isOver(withinSeconds: number): Promise<void> {
    const until = seconds() + withinSeconds
    while (this.#end === undefined && seconds() < until) await sleep(HEARTBEAT_MILLISECONDS)
    await sleep(LINGER_MILLISECONDS)
  }

  /** Ends this machine's membership at the end of a step, as all leave the group; the others then form one without it. */
  async quit(): Promise<void> {
    clearInterval(this.#timer)
    // From here on it says no more that it is there.
    this.#end ??= new MemberEnd({ kind: 'end', how: 'replaced', reason: 'it goes on its own account' })
    await this.#formed?.group.leave()
    this.#formed = undefined
    await this.close()
  }

  /** Ends this machine's membership; the others need not wait for its lease. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#end ??= new MemberEnd({ kind: 'end', how: 'replaced', reason: 'it was closed' })
    this.#formed?.group.abort('this machine leaves')
    await this.#store.leave(this.#membership.record)
    this.#store.close()
  }

  async #join(target: Target): Promise<Formed | undefined> {
    const { generation, rank, over } = target
    const { number, members } = generation
    const late = AbortSignal.any([over.signal, AbortSignal.timeout(JOIN_SECONDS * 1000)])
    try {
      const group = await ProcessGroup.join({
        store: rendezvousOf(this.#store, generation, late),
        ...{ rank, size: members.length, timeoutSeconds: JOIN_SECONDS, operationTimeoutSeconds: OPERATION_SECONDS },
        ...{ generation: number, address: members[rank]!.address, signal: over.signal },
      })
      if (this.#target !== target) {
        await group.leave()
        return undefined
      }
      this.#formed = { group, generation, rank }
      this.#apply(this.#membership.formed(number, seconds()))
      return this.#formed
    } catch (error) {
      if (!(error instanceof CommError)) throw error
      if (this.#target === target) this.#fell(generation, error.peers)
      return undefined
    }
  }

  /** @returns the hosts to whom it is due */
  #fell({ number, members }: Generation, peers: readonly number[]): readonly string[] {
    if (this.#target?.generation.number === number) this.#target = undefined
    const names = peers.flatMap((rank) => members[rank]?.name ?? [])
    this.#apply(this.#membership.broke(number, names, seconds()))
    return names
  }

  #waits(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  async #beat(): Promise<void> {
    if (this.#beating || this.#end) return
    this.#beating = true
    try {
      const view = await this.#store.heartbeat(this.#membership.record)
      this.#apply(view ? this.#membership.saw(view, seconds()) : this.#membership.tick(seconds()))
    } finally {
      this.#beating = false
    }
  }

  #apply(effects: readonly MembershipEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'announce') setImmediate(() => void this.#beat())
      else if (effect.kind === 'propose') void this.#propose(effect.revision, effect.generation)
      else if (effect.kind === 'form') this.#aim(effect)
      else if (effect.kind === 'abort') this.#abort(effect.reason)
      else {
        this.#end ??= new MemberEnd(effect)
        this.#abort(effect.reason)
        this.#wake()
      }
    }
  }

  async #propose(revision: number, generation: Generation): Promise<void> {
    const view = await this.#store.propose(revision, generation)
    if (view) this.#apply(this.#membership.saw(view, seconds()))
  }

  #aim({ generation, rank }: { generation: Generation; rank: number }): void {
    this.#target?.over.abort()
    this.#target = { generation, rank, over: new AbortController() }
    this.#wake()
  }

  #abort(reason: string): void {
    this.#target?.over.abort()
    this.#target = undefined
    this.#formed?.group.abort(reason)
  }
}
