// The state of a machine from a checkpoint on the storage that all machines share: when all of them go back, and when no
// other machine's state arrives undamaged. Not here: when either happens (machine-session.ts, pass-state.ts).
import type { Json } from '../../checkpoint/index.js'
import { Session } from '../session.js'
import type { SupervisedOptions } from '../supervised-options.js'
import { fillBank, type PreparedState } from '../supervised-state.js'

export interface DiskState {
  step: number
  bank: number
  /** What was saved beside the weights; undefined when there was no checkpoint, and this is the run's beginning. */
  meta: Json | undefined
}

/** Fills a bank, which is not committed, with the newest whole checkpoint up to a step. */
export async function stateFromDisk(
  { run, data, dtype, report, prepared }: SupervisedOptions & { prepared: PreparedState },
  bank: number,
  upTo: number,
): Promise<DiskState> {
  const session = new Session(run, data, dtype, report)
  const { tensors } = session.trainer.state
  try {
    const found = await session.load(upTo)
    fillBank(prepared.state, bank, tensors)
    return { step: session.step, bank, meta: found?.meta }
  } finally {
    Object.values(tensors).forEach((tensor) => tensor.dispose())
  }
}
