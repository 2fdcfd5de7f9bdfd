// A run carried by ranks: processes with separate memory, each with its shard of the state, that do every step together.
// This one starts them, replaces those that are lost, and logs; it computes nothing but measurements and samples. A process
// of its own writes checkpoints while the ranks go on.
// Not here: the flow of a run (run.ts), what a rank does (rank-program.ts), what happens when one is lost (hearth/cluster).
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import type { CheckpointError, DType } from '@hearth/torch'
import { RankGroup, type CrewEvent, type RankGroupOptions } from '../../cluster/index.js'
import { saveModel } from '../../formats/index.js'
import type { LanguageModel } from '../../models/index.js'
import type { Hashes } from '../bank-hashes.js'
import { changesOf } from '../changes.js'
import type { RunConfig } from '../config.js'
import type { Poison } from '../drill/poison.js'
import { ranksUnderDrill, type RanksUnderDrill } from '../drill/ranks-under-drill.js'
import type { Engine } from '../engine.js'
import { EventLog, Goodput, refusalOf, saverLost, troubleOf } from '../event-log.js'
import { checkBeginning, finishRewind } from '../go-back.js'
import { heldOutLoss, type HeldOutLoss } from '../held-out.js'
import { judgedSteps, type Attempt, type JudgedSteps, type RewindVerdict } from '../judged-steps.js'
import type { Report } from '../run-events.js'
import type { Run } from '../run-folder.js'
import { noteProcess } from '../left-processes.js'
import { removeStateFolder } from '../state-folder.js'
import { StateChanged } from '../state-hashes.js'
import type { TextData } from '../text-data.js'
import type { Step } from '../trainer.js'
import { prepareShards, type PreparedShards } from './prepared-shards.js'
import { RankCheckpoints } from './rank-checkpoints.js'
import type { RankCommand, RankJob, RankResult } from './rank-program.js'
import { openShards, shardFile, type RankOptions } from './shard-folder.js'
import { ShardHashes } from './shard-hashes.js'
import { modelOfShards } from './sharded-model.js'

export interface ShardedSessionOptions extends RankOptions {
  run: Run<RunConfig>
  data: TextData
  dtype: DType
  report: Report
  onRanks?: (ranks: RanksUnderDrill) => void
  patience?: Pick<RankGroupOptions, 'timeoutSeconds' | 'deadlines' | 'maxFalls'>
  poison?: Poison | undefined
}

/** The compiled programs lie beside this package's public face, also when its sources are run by a test. */
const programs = join(dirname(createRequire(import.meta.url).resolve('hearth/train')), 'sharded')

export class ShardedSession implements Engine {
  readonly #options: ShardedSessionOptions
  #prepared: PreparedShards
  readonly #log: EventLog
  readonly #goodput = new Goodput()
  #ranks!: RankGroup
  #checkpoints!: RankCheckpoints
  readonly #hashes: ShardHashes
  #step: number
  #lost = 0

  private constructor(options: ShardedSessionOptions, prepared: PreparedShards) {
    this.#options = options
    this.#prepared = prepared
    this.#step = prepared.step
    const { run, report } = options
    const { guard, every } = run.config
    const hashed = { every: guard.hashEvery, checkpointEvery: every.checkpoint }
    this.#hashes = new ShardHashes({ ...hashed, order: (command) => this.#order(command) })
    const warn = (error: Error) => report({ kind: 'warning', message: `events cannot be written: ${error.message}` })
    this.#log = new EventLog(run.paths.events, (event) => report({ kind: 'trouble', event }), warn)
    this.#log.write({ kind: 'resumed', step: prepared.step, from: prepared.from })
  }

  /** Takes over the shards that were left, or begins with the newest checkpoint, and starts the ranks. */
  static async open(options: ShardedSessionOptions): Promise<ShardedSession> {
    const prepared = await prepareShards(options)
    if (prepared.checkpoint) {
      const { step, path } = prepared.checkpoint
      options.report({ kind: 'restored', step, path })
    }
    const session = new ShardedSession(options, prepared)
    await session.#start(prepared.checkpoint)
    return session
  }

  async #start(begun: { step: number; hash: string } | undefined): Promise<void> {
    const { ranks: size, patience } = this.#options
    this.#ranks = await RankGroup.start({
      size,
      entry: join(programs, 'rank-program.js'),
      job: (rank) => this.#job(rank),
      env: { OMP_NUM_THREADS: String(threadsOf(size)), OPENBLAS_NUM_THREADS: '1' },
      ...patience,
      onLaunch: this.#noteProcess,
      onEvent: (event) => this.#notice(event),
    })
    this.#checkpoints = this.#openCheckpoints(begun)
    this.#options.onRanks?.(ranksUnderDrill(this.#ranks, this.#checkpoints, this.#prepared))
  }

  readonly #noteProcess = (pid: number) => noteProcess(this.#prepared.folder, pid)

  #openCheckpoints(begun: { step: number; hash: string } | undefined): RankCheckpoints {
    const { ranks, sharding, offload, run, report } = this.#options
    const { modelConfig: model, folder: state, hash } = this.#prepared
    return new RankCheckpoints({
      ...{ config: run.config, report, begun },
      job: { ranks, sharding, offload, model, state, hash, checkpoints: run.paths.checkpoints },
      onLaunch: this.#noteProcess,
      onLost: (event) => this.#log.write(saverLost(event)),
    })
  }

  get step(): number {
    return this.#step
  }

  get model(): LanguageModel {
    const { modelConfig, layout, folder, hash } = this.#prepared
    const states = openShards(folder, { layout, hash, offload: 'memory' })
    try {
      return modelOfShards(modelConfig, layout, states)
    } finally {
      states.forEach((state) => state.close())
    }
  }

  async *steps(last: number): AsyncGenerator<Step, void, void> {
    while (this.step < last)
      try {
        for await (const step of judgedSteps(this.#judged(), last)) {
          this.#account(step)
          yield step
        }
        await this.#hashes.check(this.step)
      } catch (error) {
        if (!(error instanceof StateChanged)) throw error
        await this.#heal(error)
      }
  }

  #judged(): JudgedSteps {
    const { judge } = this.#prepared
    const stepOf = () => this.step
    return {
      judge,
      get step() {
        return stepOf()
      },
      attempt: (step, batch) => this.#attempt(step, batch),
      onRefusal: (refusal) => refusal.verdict.kind !== 'rewind' && this.#log.write(refusalOf(refusal)),
      prepare: () => undefined,
      // Should all end here, the same batch meets the same judgement again.
      keepJudgement: () => undefined,
      rewind: (verdict) => this.#rewind(verdict),
    }
  }

  async #attempt(step: number, batch: number): Promise<Attempt> {
    const [result] = (await this.#order({ kind: 'attempt', step, batch })) as RankResult[]
    // What it was computed from is looked at before it is judged.
    await this.#hashes.check(this.step)
    // Ranks give it up when the next one is asked for.
    return { ...result!, commit: () => this.#commit(step, batch), drop: () => undefined }
  }

  async #commit(step: number, batch: number): Promise<void> {
    // The next step leaves the one that is copied in its bank; the step after that would write there.
    await this.#checkpoints.isCopied(step)
    const hashed = this.#hashes.isDue(step + 1)
    const { judge } = this.#prepared
    const answers = await this.#order({ kind: 'commit', step, batch, judge: judge.state, hashed })
    this.#hashes.note(hashed ? (answers as Hashes[]) : undefined)
    this.#step = step + 1
  }

  #order(command: RankCommand): Promise<unknown[]> {
    const phase = command.kind === 'commit' && command.hashed ? 'hashed commit' : command.kind
    return this.#ranks.run(command, phase)
  }

  /** By the step once more, from the state before it, where that gives what was written; else by a checkpoint. */
  async #heal(changed: StateChanged): Promise<void> {
    const { step } = this
    await this.#checkpoints.isCopied()
    const batch = this.#prepared.judge.batchOf(step - 1)
    const healed = await this.#hashes.again(step, batch, changed, () => this.#commit(step - 1, batch))
    if (!healed) await this.#goBack({ to: step, reason: changed.message })
    const healedBy = healed ? 'the step again' : 'a checkpoint'
    this.#log.write({ kind: 'corrupt', step, tensors: changed.tensors, healedBy })
  }

  /** Back to a checkpoint; what is saved at once has the batches that are left out from there. */
  async #rewind(verdict: RewindVerdict): Promise<void> {
    const { run, report } = this.#options
    await this.#goBack(verdict, { anew: true })
    await finishRewind(verdict, this.step, {
      checkpoints: run.paths.checkpoints,
      save: () => this.save({ wait: true }),
      note: (event) => this.#log.write(event),
      report,
    })
  }

  /**
   * To a checkpoint, or to the beginning: the ranks begin anew from there.
   * @param options.anew it is to be saved once more, because the judge knows more
   */
  async #goBack(verdict: Pick<RewindVerdict, 'to' | 'reason'>, { anew = false } = {}): Promise<void> {
    const { run } = this.#options
    await this.#checkpoints.isCopied()
    await Promise.all([this.#ranks.stop(), this.#checkpoints.stop()])
    removeStateFolder(run.folder)
    const { judge } = this.#prepared
    const prepared = await prepareShards(this.#options, verdict.to)
    const { checkpoint } = prepared
    if (checkpoint === undefined) checkBeginning(verdict, run.config)
    judge.restored(checkpoint?.judge)
    this.#prepared = { ...prepared, judge }
    this.#step = prepared.step
    this.#hashes.note(undefined)
    await this.#start(checkpoint && { ...checkpoint, ...(anew && { step: -1 }) })
  }

  async save(options: { wait: boolean }): Promise<CheckpointError | undefined> {
    const { step } = this
    return await this.#checkpoints.save({ step, judge: this.#prepared.judge, hashes: this.#hashes.known }, options)
  }

  async evaluate(maxTokens: number | undefined, signal?: AbortSignal): Promise<HeldOutLoss | undefined> {
    const { data, report } = this.#options
    const { bytesPerToken, heldOutTokens } = data
    if (heldOutTokens === 0) return undefined
    const of = Math.min(maxTokens ?? Infinity, heldOutTokens)
    return await heldOutLoss(this.model, data.heldOut(), {
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(bytesPerToken === undefined ? {} : { bytesPerToken }),
      ...(signal === undefined ? {} : { signal }),
      onProgress: (done) => report({ kind: 'phase', phase: 'evaluating', done, of }),
    })
  }

  async export(): Promise<string> {
    const { run, data, report } = this.#options
    report({ kind: 'phase', phase: 'export' })
    await saveModel(run.paths.model, this.model, { tokenizer: data.tokenizer })
    return run.paths.model
  }

  async close(): Promise<void> {
    await Promise.all([this.#ranks.stop(), this.#checkpoints.stop()])
    const goodput = this.#goodput.value
    if (goodput.steps > 0) this.#log.write({ kind: 'goodput', step: this.step, ...goodput })
    this.#log.close()
    if (this.step === this.#checkpoints.savedStep) removeStateFolder(this.#options.run.folder)
  }

  #job(rank: number): RankJob {
    const { run, dtype, ranks, sharding, offload, poison } = this.#options
    const { folder, hash, modelConfig, checkpoint, judge } = this.#prepared
    return {
      ...{ rank, ranks, sharding, offload, dtype, hash },
      folder: run.folder,
      config: run.config,
      changes: changesOf(run.record, run.paths.config),
      model: modelConfig,
      state: shardFile(folder, rank),
      checkpoint: checkpoint?.path,
      threads: threadsOf(ranks),
      judge: judge.state,
      poison,
    }
  }

  #notice(event: CrewEvent): void {
    if (event.kind === 'lost') this.#lost++
    this.#log.write(troubleOf(event))
  }

  #account(step: Step): void {
    const isDisturbed = this.#lost > 0
    this.#goodput.add(step.seconds, isDisturbed)
    if (isDisturbed) {
      const lostSeconds = Math.max(0, step.seconds - (this.#goodput.usual ?? 0))
      this.#log.write({ kind: 'recovered', step: step.number, seconds: step.seconds, lostSeconds })
    }
    this.#lost = 0
  }
}

/** The processor shared equally; BLAS gets one thread, because how many it has shows in the bits of its products. */
const threadsOf = (ranks: number) => Math.max(1, Math.floor(availableParallelism() / ranks))
