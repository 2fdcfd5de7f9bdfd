// The store's side of membership, without its wire: the newest record of every machine, which is forgotten when it falls
// silent, and the generation, which changes only against the revision that the proposer knew. Time is told, not read:
// the simulation runs it over a virtual clock. What it holds may be lost: machines say it again.
import type { Generation, MemberRecord, View } from './records.js'

/** A machine that is silent for so long is gone. */
export const LEASE_SECONDS = 4

export class Directory {
  readonly #records = new Map<string, { record: MemberRecord; heard: number }>()
  readonly #lease: number
  #view: View = { revision: 0, generation: undefined, members: [] }

  constructor(leaseSeconds = LEASE_SECONDS) {
    this.#lease = leaseSeconds
  }

  /** A machine is there. */
  heartbeat(record: MemberRecord, now: number): View {
    const known = this.#records.get(record.name)
    this.#records.set(record.name, { record, heard: now })
    return this.#seen(now, known === undefined || !isSame(known.record, record))
  }

  /** A machine goes on its own account. */
  leave(name: string, life: string, now: number): View {
    const isIts = this.#records.get(name)?.record.life === life
    if (isIts) this.#records.delete(name)
    return this.#seen(now, isIts)
  }

  /** The view, with `generation` in it if nobody was faster. */
  propose(revision: number, generation: Generation, now: number): View {
    if (revision === this.#view.revision) this.#view = { ...this.#view, revision: revision + 1, generation }
    return this.#seen(now, false)
  }

  #seen(now: number, changed: boolean): View {
    let stale = changed
    for (const [name, { heard }] of this.#records) {
      if (now - heard <= this.#lease) continue
      this.#records.delete(name)
      stale = true
    }
    if (stale) this.#view = { ...this.#view, members: [...this.#records.values()].map(({ record }) => record) }
    return this.#view
  }
}

const isSame = (a: MemberRecord, b: MemberRecord) =>
  a.life === b.life &&
  a.last === b.last &&
  a.seen === b.seen &&
  a.worked === b.worked &&
  a.broke === b.broke &&
  a.suspects.length === b.suspects.length &&
  a.suspects.every((name, i) => name === b.suspects[i])
