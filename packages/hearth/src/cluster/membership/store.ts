// Where the machines of a run meet: one interface, with the store that every host serves (embedded-store.ts) and etcd
// (etcd-store.ts). Here is also how the members of a generation find each other's connections in it.
import { setTimeout as sleep } from 'node:timers/promises'
import { HearthError, type Rendezvous } from '@hearth/torch'
import type { Generation, MemberRecord, View } from './records.js'

export interface MembershipStore {
  /** Says that this machine is there; undefined while no store answers. */
  heartbeat(record: MemberRecord): Promise<View | undefined>
  /** Puts the generation in place of the one of that revision; the view tells who was first. */
  propose(revision: number, generation: Generation): Promise<View | undefined>
  /** Takes this machine's record away, so that nobody waits for its lease. */
  leave(record: MemberRecord): Promise<void>
  /** Keys of one generation, each set once. */
  put(generation: Generation, key: string, value: Uint8Array): Promise<void>
  read(generation: Generation, key: string): Promise<Uint8Array | undefined>
  close(): void
}

const POLL_MILLISECONDS = 30

/** The directory in which the processes of a generation find each other's connections. */
export function rendezvousOf(store: MembershipStore, generation: Generation, signal: AbortSignal): Rendezvous {
  const over = () => new HearthError(`generation ${generation.number} is over`)
  return {
    set: (key, value) => store.put(generation, key, value),
    get: async (key) => {
      while (!signal.aborted) {
        const value = await store.read(generation, key).catch(() => undefined)
        if (value !== undefined) return value
        await sleep(POLL_MILLISECONDS)
      }
      throw over()
    },
    close: () => undefined,
  }
}
