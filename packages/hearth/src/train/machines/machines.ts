// What the machines of a run do together: agree on a step, add up its gradients, and bring whoever is behind to the state
// of the others. All of it in the process group of the newest generation; when that breaks, the step did not happen, and a
// new group is formed. Not here: who is in it (hearth/cluster), what a step is made of (machine-workers.ts).
import { CommError, noGrad, scope, tensor, type Tensor } from '@hearth/torch'
import type { Formed, Member } from '../../cluster/index.js'
import { passState, type Passing } from './pass-state.js'
import { slotRanges, type SlotRange } from './slot-ranges.js'

/** Where a machine stands: steps done, and the position in the data, which only ever rises. */
export interface Position {
  step: number
  batch: number
}

/** What this machine's slots came to. */
export interface Share extends Position {
  /** Of its slots, in their order. */
  losses: readonly number[]
  size: number
}

/** What happened to the group, for the run's log. */
export type MachineEvent =
  | { kind: 'group-formed'; generation: number; hosts: readonly string[]; step: number; seconds: number }
  | { kind: 'group-broke'; generation: number; step: number; suspects: readonly string[]; reason: string }
  | { kind: 'state-fetched'; from: string; step: number; bytes: number; seconds: number }

export interface MachinesOptions {
  name: string
  member: Member
  /** Gradient slots of the run. */
  slots: number
  /** Machines without which the run stops. */
  minimum: number
  onEvent: (event: MachineEvent) => void
}

/** Elements that are added up at a time: what is in flight of a gradient. */
const CHUNK = 2 ** 23
/** After which a machine goes although the word that the run is done did not reach it. */
const FINISH_SECONDS = 10
/** For which a machine that is to go waits for the others once more, so that they stop together. */
const LAST_GROUP_SECONDS = 5
// Columns of the table that the machines make of a step.
const [STEP, BATCH, SIZE, DUE, STOP, LEAVE, LOSSES] = [0, 1, 2, 3, 4, 5, 6]

interface Agreed {
  isDue: boolean
  stops: boolean
}

export class Machines {
  readonly #options: MachinesOptions
  #formed: Formed | undefined
  #stopAsked = false
  #leaveAsked = false
  #waiting: AbortController | undefined
  /** What the last step agreed on. */
  #agreed: Agreed = { isDue: false, stops: false }
  #brokeAt = performance.now()

  constructor(options: MachinesOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  get isConnected(): boolean {
    return this.#formed !== undefined
  }

  /** Whether this machine is the one that writes the run's logs and checkpoints. */
  get leads(): boolean {
    return this.#formed?.rank === 0
  }

  /** All agreed that another generation follows the step just done. */
  get isDue(): boolean {
    return this.#agreed.isDue
  }

  /** All agreed to stop after the step just done. */
  get stops(): boolean {
    return this.#agreed.stops
  }

  /** This machine goes after the step just done, and the others go on. */
  get leaves(): boolean {
    return this.#leaveAsked && this.#agreed.isDue && !this.#agreed.stops
  }

  /** This machine's slots in the present generation. */
  get range(): SlotRange {
    const { rank, generation } = this.#formed!
    return slotRanges(this.#options.slots, generation.members.length)[rank]!
  }

  /** Asks all machines to stop after their step. */
  requestStop(): void {
    this.#stopAsked = true
    this.#hurry()
  }

  /** Has this machine go after a step. Where too few would be left, or all want to go, all stop. */
  requestLeave(): void {
    this.#leaveAsked = true
    this.#hurry()
  }

  /**
   * Forms the newest generation's group, in which all have the newest state that one of them has.
   * @returns false when this machine is to go, and there was no group in time
   */
  async connect(passing: Passing): Promise<boolean> {
    const { state, positionOf } = passing
    for (;;) {
      const formed = await this.#group()
      if (formed === undefined) return false
      this.#formed = formed
      this.#agreed = { isDue: false, stops: false }
      try {
        const passed = await passState(formed.group, passing)
        const hosts = formed.generation.members.map(({ name }) => name)
        if (passed) {
          const from = passed.from === 'disk' ? 'disk' : hosts[passed.from]!
          this.#say({ kind: 'state-fetched', ...passed, from })
        }
        const seconds = (performance.now() - this.#brokeAt) / 1000
        const { step } = state.committed!
        this.#say({ kind: 'group-formed', generation: formed.generation.number, hosts, step, seconds })
        return true
      } catch (error) {
        if (!(error instanceof CommError)) throw error
        this.broke(error, positionOf().step)
      }
    }
  }

  /**
   * Adds this machine's gradients up with those of the others, in place, and tells the losses of all slots.
   * @throws CommError when the group broke, or its machines are not at one step
   */
  async combine(share: Share, gradients: Tensor): Promise<{ losses: number[]; size: number }> {
    const { group } = this.#formed!
    const all = await this.#tell(share)
    for (let at = 0; at < gradients.numel; at += CHUNK) {
      const chunk = noGrad(() => gradients.narrow(0, at, Math.min(CHUNK, gradients.numel - at)))
      await group.sumInOrder(chunk)
      chunk.dispose()
    }
    return all
  }

  /** The step was committed here. */
  worked(): void {
    this.#options.member.worked()
  }

  /** Leaves the group at the end of a step, for the next one. */
  async leave(): Promise<void> {
    this.#formed = undefined
    this.#brokeAt = performance.now()
    await this.#options.member.leave()
  }

  /** Leaves the run at the end of a step. */
  async quit(): Promise<void> {
    this.#formed = undefined
    await this.#options.member.quit()
  }

  /** The group failed. */
  broke(error: CommError, step: number): void {
    const { number: generation } = this.#formed?.generation ?? { number: 0 }
    this.#formed = undefined
    this.#brokeAt = performance.now()
    const suspects = this.#options.member.broke(error)
    const reason = error.message.split('\n')[0]!
    this.#say({ kind: 'group-broke', generation, step, suspects, reason })
  }

  /** Waits until all machines have come here. */
  async barrier(): Promise<void> {
    await this.#formed!.group.barrier()
  }

  /** Waits for all machines; then the run is done. */
  async finish(): Promise<void> {
    await this.#formed!.group.barrier()
    const { member } = this.#options
    // Nobody leaves before all know: a connection that ends sooner would be taken for a machine that is lost.
    if (this.leads) await member.finish()
    await member.isOver(FINISH_SECONDS)
  }

  async close(): Promise<void> {
    this.#formed = undefined
    await this.#options.member.close()
  }

  /** The newest group; undefined when none comes about in a while after this machine was asked to go. */
  async #group(): Promise<Formed | undefined> {
    const waiting = (this.#waiting = new AbortController())
    if (this.#stopAsked || this.#leaveAsked) this.#hurry()
    try {
      return await this.#options.member.group(waiting.signal)
    } catch (error) {
      if (waiting.signal.aborted && error === waiting.signal.reason) return undefined
      throw error
    } finally {
      this.#waiting = undefined
    }
  }

  #hurry(): void {
    const waiting = this.#waiting
    if (waiting) setTimeout(() => waiting.abort(), LAST_GROUP_SECONDS * 1000).unref()
  }

  #say(event: MachineEvent): void {
    this.#options.onEvent(event)
  }

  /** One row a machine: where it is, what its slots came to, and whether it wants the group to end. */
  async #tell({ step, batch, losses, size }: Share): Promise<{ losses: number[]; size: number }> {
    const { slots, member } = this.#options
    const { first } = this.range
    const row = new Float64Array(LOSSES + slots)
    row.set([step, batch, size, ...[member.isDue, this.#stopAsked, this.#leaveAsked].map(Number)])
    row.set(losses, LOSSES + first)
    const mine = tensor(row)
    const tensors = await this.#formed!.group.allGather(mine)
    const rows = scope(() => tensors.map((each) => each.toArray()))
    for (const each of [mine, ...tensors]) each.dispose()
    if (rows.some((each) => each[STEP] !== step || each[BATCH] !== batch))
      throw new CommError(
        `the machines of this group are not at one step: ${rows.map((each) => each[STEP]).join(', ')}`,
        {
          operation: 'step',
          seconds: 0,
        },
      )
    this.#agreed = agreedIn(rows, this.#options.minimum)
    const ranges = slotRanges(slots, rows.length)
    return {
      losses: rows.flatMap((each, rank) => {
        const { first, count } = ranges[rank]!
        return each.slice(LOSSES + first, LOSSES + first + count)
      }),
      size: rows.reduce((sum, each) => sum + each[SIZE]!, 0),
    }
  }
}

/** Whether the group ends with this step, and whether the run does. */
function agreedIn(rows: readonly (readonly number[])[], minimum: number): Agreed {
  const leaving = rows.filter((each) => each[LEAVE] === 1).length
  const tooFew = leaving > 0 && rows.length - leaving < Math.max(1, minimum)
  return {
    isDue: leaving > 0 || rows.some((each) => each[DUE] === 1),
    stops: tooFew || rows.some((each) => each[STOP] === 1),
  }
}
