// The trainer of one rank: a step over the ranks of a group, each with its shard of weights, gradients and optimizer state.
// The bits are those of Trainer (trainer.ts) for any number of ranks and every stage. Whatever a rank loses a partner in,
// it throws CommError; what to do then is the caller's.
// Not here: the schedule within a slot (block-pass.ts), what travels how (exchange.ts), processes (hearth/cluster).
import { empty, scope, tensor, type ProcessGroup, type Tensor } from '@hearth/torch'
import { clipScale, NORM_CHUNK, normOf, squaredNorms, type Optimizer, type Schedule } from '../../optim/index.js'
import type { Json } from '../../checkpoint/index.js'
import { hearEvents } from '../event-loop.js'
import { SlotSum, type Named } from '../gradients.js'
import { Judge, TrainingError } from '../judge.js'
import { judgedSteps, type Attempt, type JudgedSteps } from '../judged-steps.js'
import { runSlot, runSlots, type SlotOptions } from '../slots.js'
import type { Step } from '../trainer.js'
import { Leaves } from './block-pass.js'
import { Exchange, flatten, piecesOf } from './exchange.js'
import { unitsOf, type Unit } from './layout.js'
import { Rounds } from './rounds.js'
import type { ShardState } from './shard-state.js'
import { reducesEachSlot, slotsOfRank, type Sharding } from './stages.js'

export interface ShardedTrainerOptions<Batch> extends SlotOptions<unknown, Batch> {
  /** A tree of the model's shape; its leaves are not used. */
  tree: unknown
  group: ProcessGroup
  sharding: Sharding
  /** This rank's, open; of the layout for as many shards as there are ranks, or 1 with `replicate`. */
  state: ShardState
  optimizer: Optimizer
  schedule: Schedule
  /** Largest global gradient norm. */
  clip: number
}

/** An attempt at a step whose update and commit are this rank's. */
export interface RankAttempt extends Omit<Attempt, 'commit'> {
  /** @param meta committed with it, for whoever goes on from there */
  commit(meta: Json): void
}

/** What slots of this rank come to: the summed gradients of its shard, by unit, and the losses in the order of its slots. */
export interface RankGradients {
  shards: ReadonlyMap<Unit, Tensor>
  losses: number[]
  size: number
}

/** What all ranks come to. */
interface Together {
  losses: number[]
  size: number
  /** Before clipping, of the mean over slots. */
  gradientNorm: number
}

export class ShardedTrainer<Batch> {
  readonly #options: ShardedTrainerOptions<Batch>
  readonly #exchange: Exchange
  readonly #slots: readonly number[]
  #judge: Judge | undefined

  constructor(options: ShardedTrainerOptions<Batch>) {
    const { group, state, dtype, sharding, slots } = options
    this.#options = options
    this.#exchange = new Exchange(group, state, dtype)
    this.#slots = slotsOfRank(sharding, slots, group.rank, group.size)
  }

  /** Steps that this rank has committed. */
  get step(): number {
    return this.#options.state.committed!.step
  }

  /**
   * Goes back to the step that all ranks have, where another one did not get as far. To be called when a group has formed.
   * @throws CheckpointError when that is more than one step back
   */
  async agree(): Promise<number> {
    const { group, state } = this.#options
    const steps = await this.#share([this.step])
    const common = Math.min(...steps.map(([step]) => step!))
    state.goBackTo(common)
    await group.barrier()
    return common
  }

  /**
   * Does steps until `last` of them are done; stop by leaving the loop. Each rank judges for itself: what they judge, and
   * so what they do, is the same.
   * @throws TrainingError where the judge would go back; CommError when another rank is lost: see agree()
   */
  steps(last: number): AsyncGenerator<Step, void, void> {
    const stepOf = () => this.step
    const judge = (this.#judge ??= new Judge())
    const run: JudgedSteps = {
      judge,
      get step() {
        return stepOf()
      },
      attempt: async (step, batch) => {
        const attempt = await this.attempt(step, batch)
        return { ...attempt, commit: () => attempt.commit(judge.state) }
      },
      onRefusal: () => undefined,
      prepare: () => undefined,
      keepJudgement: () => undefined,
      rewind: ({ reason }) => Promise.reject(new TrainingError(`training cannot go on: ${reason}`)),
    }
    return judgedSteps(run, last)
  }

  /**
   * Computes the gradient of a batch for the next step, which is the same at every rank when it is committed by all.
   * @throws CommError when another rank is lost
   */
  async attempt(step: number, batch: number): Promise<RankAttempt> {
    const { schedule, state, sharding, slots } = this.#options
    const learningRate = schedule(step)
    const own = reducesEachSlot(sharding) ? await this.#inRounds(batch) : await this.#atOnce(batch)
    const drop = () => {
      for (const shard of own.shards.values()) shard.dispose()
    }
    const { losses, size, gradientNorm } = await this.#together(own)
    const commit = (meta: Json) => {
      this.#update(own.shards, { step, learningRate, gradientNorm })
      state.commit(step + 1, meta)
      drop()
    }
    const loss = losses.reduce((sum, each) => sum + each, 0) / slots
    return { loss, learningRate, gradientNorm, size, commit, drop }
  }

  /**
   * The whole state at one rank, in parts that are each there for one turn: a checkpoint is written from it file by file.
   * All ranks must go through it to its end.
   * @yields tensors by their names in checkpoints; none at the other ranks
   */
  async *wholeState(root = 0): AsyncGenerator<Named, void, void> {
    for (const unit of unitsOf(this.#options.state.layout))
      yield* this.#exchange.collect(unit, this.#kindsOf(unit), root)
  }

  /** Kinds of moments that the optimizer keeps: of every weight the same, where shards are cut. */
  #kindsOf(unit: Unit): string[] {
    const { state, optimizer } = this.#options
    const kinds = (names: string[]) => [...new Set(names.map((name) => name.slice(0, name.indexOf('.'))))]
    if (state.layout.shards === 1) return kinds(state.read(unit, ({ moments }) => Object.keys(moments)))
    return kinds(scope(() => Object.keys(optimizer.init({ probe: empty([1, 1]) }))))
  }

  /** Each rank sums its own slots over whole gradients; then all ranks together, unit by unit. */
  async #atOnce(batch: number): Promise<RankGradients> {
    const { state, tree } = this.#options
    const units = unitsOf(state.layout)
    const weights: Named = {}
    for (const unit of units) Object.assign(weights, await this.#exchange.gather(unit))
    const run = (slot: number) => runSlot(this.#options, tree, weights, batch, slot)
    const { gradients, losses, size } = await runSlots(this.#slots, run, hearEvents)
    Object.values(weights).forEach((weight) => weight.dispose())
    const shards = new Map<Unit, Tensor>()
    for (const unit of units) shards.set(unit, await this.#exchange.reduce(flatten(unit, gradients)))
    return { shards, losses, size }
  }

  /** All ranks sum after each slot, block by block: no whole gradient is ever there. */
  async #inRounds(batch: number): Promise<RankGradients> {
    const { state, sharding, tree } = this.#options
    const rounds = new Rounds({
      exchange: this.#exchange,
      layout: state.layout,
      keepsWeights: sharding === 'gradients',
      leaves: new Leaves(tree),
    })
    const sums = new Map(unitsOf(state.layout).map((unit) => [unit, new SlotSum()]))
    const losses: number[] = []
    let size = 0
    for (const slot of this.#slots) {
      const done = await rounds.run(this.#options, batch, slot, (unit, shard) => sums.get(unit)!.add({ shard }))
      losses.push(done.loss)
      size += done.size
      await hearEvents()
    }
    rounds.release()
    return { shards: new Map([...sums].map(([unit, sum]) => [unit, sum.finish().shard!])), losses, size }
  }

  /** Losses in the order of the slots, and the norm over all shards: the same at every rank. */
  async #together({ shards, losses, size }: RankGradients): Promise<Together> {
    const { state, group, sharding, slots } = this.#options
    const { layout } = state
    const own = this.#chunkNorms(shards)
    const all = await this.#share([size, ...losses, ...own])
    const ordered = new Array<number>(slots)
    for (let rank = 0; rank < group.size; rank++)
      slotsOfRank(sharding, slots, rank, group.size).forEach((slot, i) => (ordered[slot] = all[rank]![1 + i]!))
    const norms = layout.shards === 1 ? [own] : all.map((values) => values.slice(1 + losses.length))
    const gradientNorm = this.#normOf(norms) / slots
    return { losses: ordered, size: all.reduce((sum, [size]) => sum + size!, 0), gradientNorm }
  }

  /** Squared norms of the chunks of this shard, in their order. */
  #chunkNorms(shards: ReadonlyMap<Unit, Tensor>): number[] {
    const { state } = this.#options
    return scope(() => {
      const chunks: Tensor[] = []
      for (const [unit, shard] of shards)
        for (const { offset, start, end } of state.piecesOf(unit))
          for (let at = start; at < end; at += NORM_CHUNK)
            chunks.push(shard.narrow(0, offset + at - start, Math.min(NORM_CHUNK, end - at)))
      return Object.values(squaredNorms(Object.fromEntries(chunks.map((chunk, i) => [`chunk ${i}`, chunk]))))
    })
  }

  /** Chunks are added up weight by weight, and weights in their order, as if one rank had them all. */
  #normOf(norms: readonly (readonly number[])[]): number {
    const { layout } = this.#options.state
    const squared = Object.fromEntries(Object.keys(layout.shapes).map((path) => [path, 0]))
    for (const [shard, values] of norms.entries()) {
      let at = 0
      for (const unit of unitsOf(layout))
        for (const { path, start, end } of unit.shards[shard]!)
          for (let i = start; i < end; i += NORM_CHUNK) squared[path]! += values[at++]!
    }
    return normOf(Object.values(squared))
  }

  #update(
    shards: ReadonlyMap<Unit, Tensor>,
    { step, learningRate, gradientNorm }: { step: number; learningRate: number; gradientNorm: number },
  ): void {
    const { state, optimizer, clip, slots } = this.#options
    const gradientScale = clipScale(gradientNorm, clip) / slots
    for (const unit of unitsOf(state.layout))
      state.update(unit, (from, into) => {
        const gradients = piecesOf(unit, shards.get(unit)!, state, from.weights)
        const target = { weights: into.weights, state: into.moments }
        const { weights, moments } = from
        optimizer.update({ weights, gradients, state: moments, into: target, step, learningRate, gradientScale })
      })
  }

  /** Numbers of every rank, by rank; the lists may differ in length. */
  async #share(values: readonly number[]): Promise<number[][]> {
    const { group } = this.#options
    using count = tensor([values.length], { dtype: 'float64' })
    const counts = await this.#gatherNumbers(count)
    const longest = Math.max(...counts.map(([n]) => n!))
    using padded = tensor([...values, ...Array<number>(longest - values.length).fill(0)], { dtype: 'float64' })
    const all = await this.#gatherNumbers(padded)
    return group.size === 1 ? [[...values]] : all.map((list, rank) => list.slice(0, counts[rank]![0]))
  }

  async #gatherNumbers(mine: Tensor): Promise<number[][]> {
    const all = await this.#options.group.allGather(mine)
    const numbers = all.map((each) => each.toArray())
    all.forEach((each) => each.dispose())
    return numbers
  }
}
