// Attempts at steps by the workers of one machine among several: its own slots are computed and summed here, then added
// up with those of the others, and every machine makes the same update of its own state. Not here: the machines
// (machines.ts), whether an attempt counts (judged-steps.ts).
import type { Json, StateFile } from '../../checkpoint/index.js'
import type { Supervisor } from '../../cluster/index.js'
import { clipScale, normOf, type Schedule } from '../../optim/index.js'
import type { Attempt } from '../judged-steps.js'
import { groupsOf } from '../shares.js'
import type { SlotLosses, TrainTask } from '../worker-tasks.js'
import type { Machines } from './machines.js'
import { partsOfRange } from './slot-ranges.js'

export interface MachineWorkersOptions {
  machines: Machines
  supervisor: Supervisor<TrainTask>
  state: StateFile
  /** A bank for each part, and a last one for their sum. */
  gradients: StateFile
  workers: number
  slots: number
  /** Elements of each weight by path, in the order of the weights. */
  sizes: Readonly<Record<string, number>>
  schedule: Schedule
  clip: number
  freeBank: () => Promise<number>
}

/** Banks for gradients that a machine with so many workers needs, besides that of their sum. */
export const gradientParts = (workers: number, slots: number): number => Math.min(workers, slots)

export class MachineWorkers {
  readonly #options: MachineWorkersOptions
  readonly #groups: string[][]

  constructor(options: MachineWorkersOptions) {
    this.#options = options
    this.#groups = groupsOf(options.sizes, options.workers)
  }

  /**
   * Computes the gradient of a batch for the next step; committing it writes the next state into the free bank.
   * @throws CommError when the group of machines broke: nothing happened then
   */
  async attempt(step: number, batch: number, metaOf: () => Json): Promise<Attempt> {
    const { state, schedule, slots, clip, supervisor } = this.#options
    const from = state.committed!.bank
    const { losses, size } = await this.#gradients(step, batch, from)
    const gradientNorm = await this.#norm()
    const learningRate = schedule(step)
    const commit = async () => {
      const to = await this.#options.freeBank()
      const gradientScale = clipScale(gradientNorm, clip) / slots
      const common = { step, from, to, learningRate, gradientScale }
      const tasks = this.#groups.map((paths): TrainTask => ({ kind: 'update', ...common, paths }))
      await supervisor.run('update', tasks)
      state.commit(step + 1, to, metaOf())
    }
    const loss = losses.reduce((sum, each) => sum + each, 0) / slots
    return { loss, learningRate, gradientNorm, size, commit, drop: () => undefined }
  }

  /** The sum over all machines, in the last bank. */
  async #gradients(step: number, batch: number, from: number): Promise<{ losses: number[]; size: number }> {
    const { supervisor, machines, workers, gradients } = this.#options
    const parts = partsOfRange(machines.range, workers)
    const tasks = parts.map((slots, part): TrainTask => ({ kind: 'part', batch, from, part, slots }))
    const done = (await supervisor.run('gradients', tasks)) as SlotLosses[]
    const sums = this.#groups.map((paths): TrainTask => ({ kind: 'sum', paths, parts: parts.length }))
    await supervisor.run('sum', sums)
    const losses = done.flatMap((each) => each.losses)
    const size = done.reduce((sum, each) => sum + each.size, 0)
    const total = gradients.flat(gradients.banks - 1, 'float32')
    try {
      return await machines.combine({ step, batch, losses, size }, total)
    } finally {
      total.dispose()
    }
  }

  /** Before clipping. */
  async #norm(): Promise<number> {
    const { supervisor, sizes, slots } = this.#options
    const tasks = this.#groups.map((paths): TrainTask => ({ kind: 'norms', paths }))
    const found = (await supervisor.run('norms', tasks)) as Record<string, number>[]
    const squared = Object.fromEntries(found.flatMap((each) => Object.entries(each)))
    return normOf(Object.keys(sizes).map((path) => squared[path]!)) / slots
  }
}
