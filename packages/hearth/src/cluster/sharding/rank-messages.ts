// What a group of ranks and the process that watches over it say to each other, over the pipe that a rank is born with.
import type { RendezvousAddress } from '@hearth/torch'
import type { InjectedFault } from '../messages.js'

/** To a rank. */
export type ToRank =
  | { kind: 'open'; job: unknown }
  /** All ranks meet, as the next generation of their group. */
  | { kind: 'join'; ticket: number; store: RendezvousAddress; size: number; generation: number; timeoutSeconds: number }
  | { kind: 'command'; ticket: number; command: unknown }
  /** It takes too long: whoever waits for another rank gives up. */
  | { kind: 'abort'; reason: string }
  /** For drills and tests. */
  | { kind: 'fault'; fault: InjectedFault }

/** From a rank. */
export type FromRank =
  | { kind: 'ready' }
  | { kind: 'done'; ticket: number; result: unknown }
  /** Another rank was lost in the middle; `peers` are those that are named. */
  | { kind: 'broken'; ticket: number; message: string; peers: readonly number[] }
  | { kind: 'failed'; ticket: number; message: string }
