// What a drill does to a run from inside its supervisor: faults of workers, and of the memory that holds the state.
import type { StateFile } from '../../checkpoint/index.js'
import type { Supervisor } from '../../cluster/index.js'
import type { Saver } from '../saver.js'
import type { TrainTask } from '../worker-tasks.js'

export interface CrewUnderDrill extends Pick<Supervisor<TrainTask>, 'processes' | 'inject'> {
  /** Writes checkpoints. */
  saver: Pick<Saver, 'processes' | 'inject'>
  /** Flips a bit of the committed state, chosen by a number; gives the tensor's name. */
  flipBit(choice: number): string
  /** The same in the state that the committed one was made from. */
  flipBitBefore(choice: number): string
}

export function underDrill(supervisor: Supervisor<TrainTask>, saver: Saver, state: StateFile): CrewUnderDrill {
  return {
    saver,
    get processes() {
      return supervisor.processes
    },
    inject: (place, fault) => supervisor.inject(place, fault),
    flipBit: (choice) => flip(state, state.committed!.bank, choice),
    flipBitBefore: (choice) => flip(state, (state.committed!.meta as { from: number }).from, choice),
  }
}

/** Flips a bit of a bank; gives the tensor's name. */
export function flip(state: StateFile, index: number, choice: number): string {
  const bank = state.bank(index)
  const names = Object.keys(bank)
  const name = names[choice % names.length]!
  const { buffer, byteOffset, byteLength } = bank[name]!.data()
  new Uint8Array(buffer, byteOffset, byteLength)[choice % byteLength]! ^= 1 << (choice % 8)
  Object.values(bank).forEach((tensor) => tensor.dispose())
  return name
}
