// A run carried by ranks: processes with separate memory, each with its shard of the state, that do every step together.
// This one starts them, replaces those that are lost, and logs; it computes nothing but measurements and samples. A process
// of its own writes checkpoints while the ranks go on.
// Not here: the flow of a run (run.ts), what a rank does (rank-program.ts), what happens when one is lost (hearth/cluster).
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { CheckpointError, type DType } from '@hearth/torch'
import { RankGroup, type CrewEvent, type RankGroupOptions } from '../../cluster/index.js'
import { saveModel } from '../../formats/index.js'
import type { LanguageModel } from '../../models/index.js'
import { changesOf } from '../changes.js'
import type { RunConfig } from '../config.js'
import type { Engine } from '../engine.js'
import type { Poison } from '../drill/poison.js'
import { EventLog, Goodput, refusalOf, saverLost, troubleOf } from '../event-log.js'
import { checkBeginning, finishRewind } from '../go-back.js'
import { heldOutLoss, type HeldOutLoss } from '../held-out.js'
import { judgedSteps, type Attempt, type JudgedSteps, type RewindVerdict } from '../judged-steps.js'
import type { Report } from '../run-events.js'
import type { Run } from '../run-folder.js'
import { noteProcess } from '../left-processes.js'
import { Saver } from '../saver.js'
import { metaOf } from '../session.js'
import { removeStateFolder } from '../state-folder.js'
import type { TextData } from '../text-data.js'
import type { Step } from '../trainer.js'
import type { ShardSaverJob, ShardSaveTask } from './checkpoint-process.js'
import { prepareShards, type PreparedShards } from './prepared-shards.js'
import type { RankCommand, RankJob, RankResult } from './rank-program.js'
import { shardFile, type RankOptions } from './shard-folder.js'
import { modelOfShards } from './sharded-model.js'
import { ShardState } from './shard-state.js'

/** What is done to ranks by drills and tests. */
export interface RanksUnderDrill extends Pick<RankGroup, 'processes' | 'inject'> {
  /** Writes checkpoints. */
  saver: Pick<Saver, 'processes'>
}

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
  #saver!: Saver<ShardSaveTask, ShardSaverJob>
  /** The copy that is under way. */
  #copy: { step: number; done: Promise<CheckpointError | undefined> } | undefined
  #step: number
  #savedStep: number
  #parent: string | null
  #lost = 0

  private constructor(options: ShardedSessionOptions, prepared: PreparedShards) {
    this.#options = options
    this.#prepared = prepared
    this.#step = prepared.step
    this.#savedStep = prepared.checkpoint?.step ?? -1
    this.#parent = prepared.checkpoint?.hash ?? null
    const { run, report } = options
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
    await session.#start()
    return session
  }

  async #start(): Promise<void> {
    const { ranks: size, patience, onRanks } = this.#options
    this.#ranks = await RankGroup.start({
      size,
      entry: join(programs, 'rank-program.js'),
      job: (rank) => this.#job(rank),
      env: { OMP_NUM_THREADS: String(threadsOf(size)), OPENBLAS_NUM_THREADS: '1' },
      ...patience,
      onLaunch: this.#noteProcess,
      onEvent: (event) => this.#notice(event),
    })
    this.#saver = new Saver({
      program: join('sharded', 'checkpoint-process.js'),
      job: this.#saverJob(),
      onLaunch: this.#noteProcess,
      onLost: (event) => this.#log.write(saverLost(event)),
    })
    const [ranks, saver] = [this.#ranks, this.#saver]
    onRanks?.({
      saver,
      get processes() {
        return ranks.processes
      },
      inject: (rank, fault) => ranks.inject(rank, fault),
    })
  }

  readonly #noteProcess = (pid: number) => noteProcess(this.#prepared.folder, pid)

  #saverJob(): ShardSaverJob {
    const { ranks, sharding, offload, run } = this.#options
    const { modelConfig: model, folder: state, hash } = this.#prepared
    return { ranks, sharding, offload, model, state, hash, checkpoints: run.paths.checkpoints }
  }

  get step(): number {
    return this.#step
  }

  get model(): LanguageModel {
    const { modelConfig, layout, folder, hash } = this.#prepared
    const states = Array.from({ length: layout.shards }, (_, shard) =>
      ShardState.open({ path: shardFile(folder, shard), layout, shard, hash, offload: 'memory' }),
    )
    try {
      return modelOfShards(modelConfig, layout, states)
    } finally {
      states.forEach((state) => state.close())
    }
  }

  async *steps(last: number): AsyncGenerator<Step, void, void> {
    for await (const step of judgedSteps(this.#judged(), last)) {
      this.#account(step)
      yield step
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
    const commit = async () => {
      // The next step leaves the one that is copied in its bank; the step after that would write there.
      if (this.#copy && this.#copy.step !== step) await this.#copy.done
      await this.#order({ kind: 'commit', step, batch, judge: this.#prepared.judge.state })
      this.#step++
    }
    // Ranks give it up when the next one is asked for.
    return { ...result!, commit, drop: () => undefined }
  }

  #order(command: RankCommand): Promise<unknown[]> {
    return this.#ranks.run(command, command.kind)
  }

  /** Back to a checkpoint, or to the beginning: the ranks begin anew from there. */
  async #rewind(verdict: RewindVerdict): Promise<void> {
    const { run, report } = this.#options
    await this.#copy?.done
    await Promise.all([this.#ranks.stop(), this.#saver.stop()])
    removeStateFolder(run.folder)
    const { judge } = this.#prepared
    const prepared = await prepareShards(this.#options, verdict.to)
    if (prepared.checkpoint === undefined) checkBeginning(verdict, run.config)
    judge.restored(prepared.checkpoint?.judge)
    this.#prepared = { ...prepared, judge }
    this.#step = prepared.step
    this.#parent = prepared.checkpoint?.hash ?? null
    this.#savedStep = -1
    await this.#start()
    await finishRewind(verdict, this.step, {
      checkpoints: run.paths.checkpoints,
      save: () => this.save({ wait: true }),
      note: (event) => this.#log.write(event),
      report,
    })
  }

  async save({ wait }: { wait: boolean }): Promise<CheckpointError | undefined> {
    const { step } = this
    if (this.#copy?.step === step) return wait ? await this.#copy.done : undefined
    if (step === this.#savedStep) return undefined
    // One copy at a time.
    await this.#copy?.done
    const done = this.#write(step).finally(() => (this.#copy = undefined))
    this.#copy = { step, done }
    if (wait) return await done
    const { report } = this.#options
    void done.then((refused) => refused && report({ kind: 'warning', message: refused.message }))
    return undefined
  }

  async #write(step: number): Promise<CheckpointError | undefined> {
    const { run, report } = this.#options
    report({ kind: 'phase', phase: 'checkpoint' })
    const { keepCheckpoints: keep, every } = run.config
    const meta = metaOf(run.config, this.#prepared.judge)
    const result = await this.#saver.save({ step, meta, parent: this.#parent, keep, planned: every.checkpoint })
    if (!result.saved) return new CheckpointError(result.problem)
    if (result.problem !== undefined) report({ kind: 'warning', message: result.problem })
    this.#savedStep = step
    this.#parent = result.hash
    report({ kind: 'checkpoint', step, path: result.path, seconds: result.seconds })
    return undefined
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
    await this.#copy?.done.catch(() => undefined)
    await Promise.all([this.#ranks.stop(), this.#saver.stop()])
    const goodput = this.#goodput.value
    if (goodput.steps > 0) this.#log.write({ kind: 'goodput', step: this.step, ...goodput })
    this.#log.close()
    if (this.step === this.#savedStep) removeStateFolder(this.#options.run.folder)
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
