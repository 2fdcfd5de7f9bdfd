// The program of a rank: it opens its shard, or makes it from a checkpoint or the initial model, and does steps with
// the others. Made from the run's folder alone, so that a rank that replaces another needs nobody's help.
import { existsSync, rmSync } from 'node:fs'
import { HearthError, setNumThreads, type DType, type ProcessGroup } from '@hearth/torch'
import { loadCheckpoint, realStorage, type Json } from '../../checkpoint/index.js'
import { serveRank, type RankHandlers } from '../../cluster/index.js'
import type { TextBatch } from '../../data/index.js'
import { configure } from '../../models/index.js'
import type { Hashes } from '../bank-hashes.js'
import type { RunChange } from '../changes.js'
import type { RunConfig } from '../config.js'
import { poisoned, type Poison } from '../drill/poison.js'
import { nextToken } from '../objective.js'
import { optimizerOf, scheduleOfRun } from '../optimizer.js'
import { prepareText, type TextData } from '../text-data.js'
import { shardLayout } from './layout.js'
import { initialState, savedState, skeletonOf, type Skeleton } from './sharded-model.js'
import type { RankOptions } from './shard-folder.js'
import { ShardState, type ShardStateOptions } from './shard-state.js'
import { ShardedTrainer, type RankAttempt } from './sharded-trainer.js'

/** What a rank is told when it starts. */
export interface RankJob extends RankOptions {
  rank: number
  /** The run's. Tokenizer and tokens are there already. */
  folder: string
  config: RunConfig
  changes: readonly RunChange[]
  dtype: DType
  /** The model's config.json. */
  model: Record<string, unknown>
  /** Names the configuration that shards must be of. */
  hash: string
  /** The shard's file. */
  state: string
  /** The folder of the checkpoint to begin from; the initial model when there is none. */
  checkpoint: string | undefined
  threads: number
  /** What the run's judge knows as it begins. */
  judge: Json
  /** For drills alone. */
  poison?: Poison | undefined
}

export type RankCommand =
  /** The gradient of a batch, for the step after `step`. */
  | { kind: 'attempt'; step: number; batch: number }
  /** Makes it part of the run; what the judge knows is committed with it. */
  | { kind: 'commit'; step: number; batch: number; judge: Json; hashed: boolean }
  /** What the shard hashes to as it is. */
  | { kind: 'hash'; step: number }
  /** Gives up the last step. */
  | { kind: 'back'; step: number }

/** What an attempt came to, the same at every rank. */
export type RankResult = Pick<RankAttempt, 'loss' | 'learningRate' | 'gradientNorm' | 'size'>

class Rank implements RankHandlers<RankCommand> {
  readonly #job: RankJob
  readonly #data: TextData
  readonly #skeleton: Skeleton
  readonly #state: ShardState
  #trainer: ShardedTrainer<TextBatch> | undefined
  /** What was computed last, and is not part of the run. */
  #pending: { step: number; batch: number; attempt: RankAttempt } | undefined

  constructor(job: RankJob, data: TextData, skeleton: Skeleton, state: ShardState) {
    this.#job = job
    this.#data = data
    this.#skeleton = skeleton
    this.#state = state
  }

  static async open(job: RankJob): Promise<Rank> {
    setNumThreads(job.threads)
    const { sharding, ranks, rank, config, dtype } = job
    const skeleton = skeletonOf(job.model)
    const isWhole = sharding === 'replicate'
    const layout = shardLayout(skeleton.shapes, isWhole ? 1 : ranks)
    const options = { ...job, path: job.state, layout, shard: isWhole ? 0 : rank }
    const data = await prepareText(config, job.folder, { report: () => undefined })
    const state = openShard(options) ?? (await newShard(job, options, dtype))
    return new Rank(job, data, skeleton, state)
  }

  /** @returns the step that all go on from */
  async join(group: ProcessGroup): Promise<number> {
    const { config, changes, dtype, sharding, model, poison = {} } = this.#job
    // Its partners may be others now: all compute it again.
    this.#drop()
    const { slots, seed, device, activationCheckpointing } = config
    this.#trainer = new ShardedTrainer({
      ...{ group, sharding, dtype, slots, seed, device, activationCheckpointing },
      tree: this.#skeleton.tree,
      state: this.#state,
      ...poisoned({ objective: nextToken(configure(model)), batches: this.#data.batches }, poison),
      optimizer: optimizerOf(config, dtype),
      schedule: scheduleOfRun(config, changes),
      clip: config.optimizer.clip,
    })
    return await this.#trainer.agree()
  }

  async run(command: RankCommand): Promise<unknown> {
    const trainer = this.#trainer!
    if (command.kind === 'back') {
      this.#state.goBackTo(command.step)
      return undefined
    }
    const { kind, step } = command
    // It was done, and the answer was lost with a rank.
    if (kind === 'commit' && trainer.step === step + 1) return this.#committed(command)
    if (trainer.step !== step)
      throw new HearthError(`rank ${this.#job.rank} is at step ${trainer.step}, step ${step} was to be done`)
    if (kind === 'hash') return this.#state.hashesAt(step)
    const { batch } = command
    if (kind === 'attempt') return await this.#attempt(trainer, step, batch)
    if (this.#pending?.step !== step || this.#pending.batch !== batch) await this.#attempt(trainer, step, batch)
    this.#pending!.attempt.commit(command.judge)
    this.#pending = undefined
    return this.#committed(command)
  }

  #committed({ step, hashed }: Extract<RankCommand, { kind: 'commit' }>): Hashes | undefined {
    return hashed ? this.#state.hashesAt(step + 1) : undefined
  }

  async #attempt(trainer: ShardedTrainer<TextBatch>, step: number, batch: number): Promise<RankResult> {
    this.#drop()
    const attempt = await trainer.attempt(step, batch)
    this.#pending = { step, batch, attempt }
    const { loss, learningRate, gradientNorm, size } = attempt
    return { loss, learningRate, gradientNorm, size }
  }

  #drop(): void {
    this.#pending?.attempt.drop()
    this.#pending = undefined
  }
}

/** The shard that this rank, or the one before it, left; undefined when there is none that is whole. */
function openShard(options: ShardStateOptions): ShardState | undefined {
  if (!existsSync(options.path)) return undefined
  try {
    const state = ShardState.open(options)
    if (state.committed !== undefined) return state
    state.close()
  } catch (error) {
    if (!(error instanceof HearthError)) throw error
  }
  rmSync(options.path)
  return undefined
}

async function newShard(job: RankJob, options: ShardStateOptions, dtype: DType): Promise<ShardState> {
  const { config, model, checkpoint } = job
  const state = ShardState.create({ ...options, optimizer: optimizerOf(config, dtype) })
  if (checkpoint === undefined) {
    state.fill(0, job.judge, initialState(config, model))
    return state
  }
  using loaded = await loadCheckpoint(realStorage, checkpoint)
  state.fill(loaded.step, job.judge, savedState(loaded))
  return state
}

serveRank(Number(process.argv[2]), (job) => Rank.open(job as RankJob))
