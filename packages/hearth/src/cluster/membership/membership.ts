// One machine's part in the membership of a run: a pure state machine. It is told what the store shows, how the group
// fares and that time passed, and answers with what to do: say this, propose that, form a group, leave it. No sockets and
// no clocks in here, so a cluster with its faults is simulated from one seed (membership.simulation.test.ts).
// Whoever is in the majority or not, every group computes the same bits: two halves of a cluster that was cut in two
// waste work, and nothing else.
import { allHaveSpoken, nextGeneration, reasonFor, type Reason, type Rules } from './next-generation.js'
import type { Generation, MemberRecord, View } from './records.js'

export type MembershipEffect =
  /** Say this to the store, at once and from now on. */
  | { kind: 'announce'; record: MemberRecord }
  | { kind: 'propose'; revision: number; generation: Generation }
  /** Join the group of this generation; any other is over. */
  | { kind: 'form'; generation: Generation; rank: number }
  /** Leave the group at once: in the middle of a step, which then did not happen. */
  | { kind: 'abort'; reason: string }
  | { kind: 'end'; how: 'finished' | 'replaced' | 'refused'; reason: string }

export interface MembershipOptions extends Rules {
  name: string
  life: string
  address: string
  identity: string
  /** How long to wait for all hosts before beginning with those that came. @default 15 */
  settleSeconds?: number
}

/** How long each reason waits for what else may come. */
const PATIENCE: Record<Exclude<Reason, 'none'>, number> = { first: 1, gone: 0, came: 1, broke: 1 }
const SETTLE_SECONDS = 15
/** One machine proposes; the next one only when that did not help. */
const TURN_SECONDS = 0.6
/** When machines that were shut out are tried again. */
const PARDON_SECONDS = 60

export class Membership {
  readonly #options: MembershipOptions
  #record: MemberRecord
  #view: View | undefined
  #phase: 'waiting' | 'forming' | 'working' = 'waiting'
  /** Of the group that is formed or being formed. */
  #generation: Generation | undefined
  /** Since when which reason holds, against which revision. */
  #reason: { reason: Reason; revision: number; since: number } | undefined
  #proposed: { revision: number; at: number } | undefined
  #shutOutSince: number | undefined
  #ended = false
  #proposals = 0

  constructor(options: MembershipOptions) {
    const { name, life, address, identity } = options
    this.#options = options
    this.#record = { name, life, address, identity, last: 0, seen: '', worked: '', broke: '', suspects: [] }
  }

  get record(): MemberRecord {
    return this.#record
  }

  /** The generation whose group this machine works in. */
  get generation(): Generation | undefined {
    return this.#phase === 'working' ? this.#generation : undefined
  }

  /** Whether a newer generation waits for this machine's group to come to the end of its step. */
  get isDue(): boolean {
    const newest = this.#view?.generation
    return this.#phase === 'working' && newest !== undefined && newest.number > this.#generation!.number
  }

  /** What the store shows now. */
  saw(view: View, now: number): MembershipEffect[] {
    this.#view = view
    return this.#consider(now)
  }

  tick(now: number): MembershipEffect[] {
    return this.#consider(now)
  }

  /** The group of this generation is connected. */
  formed(number: number, now: number): MembershipEffect[] {
    if (this.#phase !== 'forming' || this.#generation!.number !== number) return []
    this.#phase = 'working'
    return this.#consider(now)
  }

  /** A step was committed in the group. */
  worked(): MembershipEffect[] {
    if (this.#phase !== 'working' || this.#record.worked === this.#generation!.id) return []
    return this.#say({ worked: this.#generation!.id })
  }

  /** The group of this generation is no more, or did not come to be. */
  broke(number: number, suspects: readonly string[], now: number): MembershipEffect[] {
    if (this.#phase === 'waiting' || this.#generation!.number !== number) return []
    this.#phase = 'waiting'
    return [...this.#say({ broke: this.#generation!.id, suspects }), ...this.#consider(now)]
  }

  /** The group has come to the end of a step and all its members leave it for a newer generation. */
  left(now: number): MembershipEffect[] {
    this.#phase = 'waiting'
    return this.#consider(now)
  }

  /** The generation as it is, with the run done. */
  finish(): MembershipEffect[] {
    const { generation, revision } = this.#view ?? {}
    if (generation === undefined || revision === undefined || generation.finished) return []
    return [{ kind: 'propose', revision, generation: { ...generation, finished: true } }]
  }

  #say(changed: Partial<MemberRecord>): MembershipEffect[] {
    this.#record = { ...this.#record, ...changed }
    return [{ kind: 'announce', record: this.#record }]
  }

  #consider(now: number): MembershipEffect[] {
    if (this.#view === undefined || this.#ended) return []
    const end = this.#endOf(this.#view)
    if (end) {
      this.#ended = true
      return [end]
    }
    return [...this.#follow(this.#view), ...this.#lead(this.#view, now)]
  }

  #endOf({ generation, members }: View): MembershipEffect | undefined {
    const { name, life, identity } = this.#record
    const holder = members.find((member) => member.name === name)
    if (holder !== undefined && holder.life !== life)
      return { kind: 'end', how: 'replaced', reason: `another process has taken the place of ${name}` }
    if (generation === undefined) return undefined
    if (generation.finished) return { kind: 'end', how: 'finished', reason: 'the run is done' }
    if (generation.identity !== identity)
      return { kind: 'end', how: 'refused', reason: `${generation.identity} runs there, this is ${identity}` }
    return undefined
  }

  /** Goes where the newest generation is. */
  #follow({ generation }: View): MembershipEffect[] {
    if (generation === undefined || generation.number <= this.#record.last) return []
    const rank = generation.members.findIndex(({ life }) => life === this.#record.life)
    // Left out of it: that it was seen says that this machine is there.
    if (this.#phase === 'waiting')
      return rank < 0 ? this.#say({ last: generation.number, seen: generation.id }) : this.#form(generation, rank)
    const staying = new Set(generation.members.map(({ life }) => life))
    const lost = this.#generation!.members.filter(({ life }) => !staying.has(life)).map(({ name }) => name)
    // Whoever is only joined by others finishes the step first.
    if (this.#phase === 'working' && lost.length === 0) return []
    this.#phase = 'waiting'
    const why = lost.length === 0 ? `generation ${generation.number} has begun` : `${lost.join(', ')} left`
    return [{ kind: 'abort', reason: why }, ...(rank < 0 ? [] : this.#form(generation, rank))]
  }

  #form(generation: Generation, rank: number): MembershipEffect[] {
    this.#phase = 'forming'
    this.#generation = generation
    return [
      ...this.#say({ last: generation.number, seen: generation.id, suspects: [] }),
      { kind: 'form', generation, rank },
    ]
  }

  /** Proposes the next generation when one is needed and it is this machine's turn. */
  #lead(view: View, now: number): MembershipEffect[] {
    const pardoned = this.#pardons(view, now)
    const reason = pardoned ? 'came' : reasonFor(view)
    if (reason === undefined) {
      this.#reason = undefined
      return []
    }
    const { revision } = view
    if (this.#reason?.reason !== reason || this.#reason.revision !== revision)
      this.#reason = { reason, revision, since: now }
    if (now < this.#reason.since + this.#patience(reason, view) + this.#turn(view) * TURN_SECONDS) return []
    if (this.#proposed?.revision === revision && now < this.#proposed.at + 2 * TURN_SECONDS) return []
    const id = `${this.#record.life}.${++this.#proposals}`
    const generation = nextGeneration(view, this.#options, { id, identity: this.#record.identity, pardoned })
    if (generation === undefined) return []
    this.#proposed = { revision, at: now }
    return [{ kind: 'propose', revision, generation }]
  }

  #patience(reason: Reason, view: View): number {
    const allHere = this.#options.hosts.every((host) => view.members.some(({ name }) => name === host))
    if (reason === 'none' && view.members.every(({ last }) => last === 0))
      return allHere ? 0 : (this.#options.settleSeconds ?? SETTLE_SECONDS)
    if (reason === 'none' || reason === 'first') return allHere ? 0 : PATIENCE.first
    if (reason === 'broke' && allHaveSpoken(view)) return 0
    return PATIENCE[reason]
  }

  /** How many machines are before this one. */
  #turn({ members }: View): number {
    const { hosts, name } = this.#options
    const here = new Set(members.map((member) => member.name))
    return hosts.slice(0, hosts.indexOf(name)).filter((host) => here.has(host)).length
  }

  #pardons({ generation, members }: View, now: number): boolean {
    const isOut = members.some(({ name, life }) => generation?.shutOut[name] === life)
    this.#shutOutSince = isOut ? (this.#shutOutSince ?? now) : undefined
    return this.#shutOutSince !== undefined && now >= this.#shutOutSince + PARDON_SECONDS
  }
}
