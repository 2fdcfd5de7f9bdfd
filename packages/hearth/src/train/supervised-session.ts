// A run carried by supervised workers: the state lies in the state file, worker processes compute, a process of its own
// writes durable checkpoints, and this one decides, notices and logs. Not here: the flow of a run (run.ts), what a step
// is made of (workers.ts), who does what after a fault (hearth/cluster).
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { CheckpointError, type DType } from '@hearth/torch'
import type { Committed, Json } from '../checkpoint/index.js'
import { Supervisor, type CrewEvent, type SupervisorOptions } from '../cluster/index.js'
import { saveModel } from '../formats/index.js'
import type { LanguageModel } from '../models/index.js'
import { configHash } from './changes.js'
import type { RunConfig } from './config.js'
import type { SaverJob, SaveResult, SaveTask } from './checkpoint-process.js'
import type { Engine } from './engine.js'
import type { Poison } from './drill/poison.js'
import { EventLog, Goodput, refusalOf, troubleOf } from './event-log.js'
import { checkBeginning, finishRewind } from './go-back.js'
import type { HeldOutLoss } from './held-out.js'
import type { Report } from './run-events.js'
import type { Run } from './run-folder.js'
import { judgedSteps, type JudgedSteps, type RewindVerdict } from './judged-steps.js'
import { Session } from './session.js'
import { fillBank, prepareState, type PreparedState } from './supervised-state.js'
import { removeStateFolder } from './state-folder.js'
import type { TextData } from './text-data.js'
import type { Step } from './trainer.js'
import { modelOver } from './training-model.js'
import type { WorkerJob } from './worker-process.js'
import type { TrainTask } from './worker-tasks.js'
import { Workers } from './workers.js'

export interface SupervisedOptions {
  run: Run<RunConfig>
  data: TextData
  dtype: DType
  report: Report
  workers: number
  /** Workers that are enough for the run to go on. @default workers */
  minWorkers?: number
  /** Whether a worker that is slow beside the others is replaced. */
  replaceSlow?: boolean
  /** Batches whose numbers go wrong: for drills. */
  poison?: Poison
  /** Given the workers as they start: drills have faults happen to them. */
  onCrew?: (crew: CrewUnderDrill) => void
  /** Of the supervisor: drills lose more workers, sooner. */
  patience?: Pick<SupervisorOptions, 'deadlines' | 'maxFalls' | 'restSeconds'>
}

/** What a drill does to workers. */
export type CrewUnderDrill = Pick<Supervisor<TrainTask>, 'processes' | 'inject'>

/** A worker that is ready to take a lost one's place costs memory for the libraries, and makes recovery immediate. */
const SPARES = 1

/** The compiled programs lie beside this package's public face, also when its sources are run by a test. */
const programs = dirname(createRequire(import.meta.url).resolve('hearth/train'))

export class SupervisedSession implements Engine {
  readonly #options: SupervisedOptions
  readonly #prepared: PreparedState
  readonly #supervisor: Supervisor<TrainTask>
  readonly #saver: Supervisor<SaveTask>
  readonly #workers: Workers
  readonly #log: EventLog
  readonly #goodput = new Goodput()
  /** The copy that is under way, and the bank that it holds. */
  #copy: { step: number; bank: number; done: Promise<CheckpointError | undefined> } | undefined
  #savedStep: number
  #parent: string | null
  #lost = 0

  private constructor(options: SupervisedOptions, prepared: PreparedState) {
    const { run, workers, report } = options
    this.#options = options
    this.#prepared = prepared
    this.#savedStep = prepared.savedStep
    this.#parent = prepared.parent
    const warn = (error: Error) => report({ kind: 'warning', message: `events cannot be written: ${error.message}` })
    this.#log = new EventLog(run.paths.events, (event) => report({ kind: 'trouble', event }), warn)
    this.#log.write({ kind: 'resumed', step: this.step, from: prepared.from })
    this.#supervisor = new Supervisor<TrainTask>({
      size: workers,
      least: options.minWorkers ?? workers,
      pacedPhase: 'gradients',
      replaceSlow: options.replaceSlow ?? false,
      entry: join(programs, 'worker-process.js'),
      job: this.#job(),
      env: this.#threads(),
      spares: SPARES,
      ...options.patience,
      onEvent: (event) => this.#notice(event),
    })
    options.onCrew?.(this.#supervisor)
    this.#saver = new Supervisor<SaveTask>({
      size: 1,
      entry: join(programs, 'checkpoint-process.js'),
      job: { state: prepared.state.path, hash: prepared.hash, folder: run.paths.checkpoints } satisfies SaverJob,
      onEvent: (event) => event.kind !== 'started' && this.#log.write(troubleOf(event)),
    })
    this.#workers = new Workers({
      supervisor: this.#supervisor,
      state: prepared.state,
      workers,
      slots: run.config.slots,
      sizes: prepared.sizes,
      schedule: prepared.schedule,
      clip: run.config.optimizer.clip,
      freeBank: () => this.#freeBank(),
    })
  }

  /** Prepares the state, or takes over what was left, and starts the workers. */
  static async open(options: SupervisedOptions): Promise<SupervisedSession> {
    return new SupervisedSession(options, await prepareState(options))
  }

  get step(): number {
    return this.#committed.step
  }

  get model(): LanguageModel {
    const weights = Object.fromEntries(
      Object.keys(this.#prepared.sizes).map((path) => [
        path,
        this.#prepared.state.tensor(this.#committed.bank, `weights.${path}`),
      ]),
    )
    return modelOver(this.#prepared.modelConfig, weights)
  }

  async *steps(last: number): AsyncGenerator<Step, void, void> {
    for await (const step of judgedSteps(this.#judged(), last)) {
      this.#account(step)
      yield step
    }
  }

  #judged(): JudgedSteps {
    const { judge, state } = this.#prepared
    const stepOf = () => this.step
    const metaOf = () => ({ judge: judge.state })
    return {
      judge,
      get step() {
        return stepOf()
      },
      attempt: (step, batch) => this.#workers.attempt(step, batch, metaOf),
      onRefusal: (refusal) => refusal.verdict.kind !== 'rewind' && this.#log.write(refusalOf(refusal)),
      keepJudgement: () => void state.commit(this.step, this.#committed.bank, metaOf()),
      rewind: (verdict) => this.#rewind(verdict),
    }
  }

  /** Back to a checkpoint, or to the beginning, in a bank that is free. */
  async #rewind(verdict: RewindVerdict): Promise<void> {
    const { run, data, dtype, report } = this.#options
    const { judge, state } = this.#prepared
    await this.#copy?.done
    const session = new Session(run, data, dtype, report)
    const { tensors } = session.trainer.state
    try {
      const found = await session.load(verdict.to)
      if (found === undefined) checkBeginning(verdict, run.config)
      judge.restored((found?.meta as { judge?: Json } | undefined)?.judge)
      const bank = await this.#freeBank()
      fillBank(state, bank, tensors)
      state.commit(session.step, bank, { judge: judge.state })
    } finally {
      Object.values(tensors).forEach((tensor) => tensor.dispose())
    }
    this.#parent = session.parent
    this.#savedStep = -1
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
    // One copy at a time; the bank that the next one reads is held from here on.
    await this.#copy?.done
    const done = this.#write(this.#committed).finally(() => (this.#copy = undefined))
    this.#copy = { step, bank: this.#committed.bank, done }
    if (wait) return await done
    const { report } = this.#options
    void done.then((refused) => refused && report({ kind: 'warning', message: refused.message }))
    return undefined
  }

  async evaluate(maxTokens: number | undefined): Promise<HeldOutLoss | undefined> {
    const { data, report } = this.#options
    if (data.heldOutTokens === 0) return undefined
    report({ kind: 'phase', phase: 'evaluating' })
    const task = { kind: 'evaluate', from: this.#committed.bank, maxTokens } as const
    const [heldOut] = await this.#supervisor.run(`evaluation of ${maxTokens ?? 'all'} tokens`, [task])
    return heldOut as HeldOutLoss
  }

  async export(): Promise<string> {
    const { run, data, report } = this.#options
    report({ kind: 'phase', phase: 'export' })
    await saveModel(run.paths.model, this.model, { tokenizer: data.tokenizer })
    return run.paths.model
  }

  async close(): Promise<void> {
    await this.#copy?.done.catch(() => undefined)
    await Promise.all([this.#supervisor.stop(), this.#saver.stop()])
    const goodput = this.#goodput.value
    if (goodput.steps > 0) this.#log.write({ kind: 'goodput', step: this.step, ...goodput })
    this.#log.close()
    const durable = this.step === this.#savedStep
    this.#prepared.close()
    if (durable) removeStateFolder(this.#options.run.folder)
  }

  get #committed(): Committed {
    return this.#prepared.state.committed!
  }

  #job(): WorkerJob {
    const { run, dtype, poison } = this.#options
    const { state, gradients, parts, hash, modelConfig } = this.#prepared
    const { OMP_NUM_THREADS } = this.#threads()
    return {
      ...{ folder: run.folder, config: run.config, dtype, model: modelConfig, hash, parts },
      state: state.path,
      gradients: gradients?.path,
      threads: Number(OMP_NUM_THREADS),
      poison,
    }
  }

  /**
   * The processor shared equally: threads of two workers on one core only wait for each other. OpenBLAS gets one, because
   * how many it has shows in the bits of its products.
   */
  #threads() {
    const each = Math.max(1, Math.floor(availableParallelism() / this.#options.workers))
    return { OMP_NUM_THREADS: String(each), OPENBLAS_NUM_THREADS: '1' }
  }

  async #freeBank(): Promise<number> {
    const { state } = this.#prepared
    for (;;) {
      const free = state.free(this.#copy?.bank)
      if (free !== undefined) return free
      await this.#copy?.done
    }
  }

  async #write({ step, bank, meta: committedMeta }: Committed): Promise<CheckpointError | undefined> {
    const { report, run } = this.#options
    report({ kind: 'phase', phase: 'checkpoint' })
    const { keepCheckpoints: keep, every } = run.config
    const meta = { config: configHash(run.config), ...(committedMeta as { judge: Json }) }
    const task = { bank, step, meta, parent: this.#parent, keep, planned: every.checkpoint }
    const [answer] = await this.#saver.run('checkpoint', [task])
    const result = answer as SaveResult
    if (!result.saved) return new CheckpointError(result.problem)
    if (result.problem !== undefined) report({ kind: 'warning', message: result.problem })
    this.#savedStep = step
    this.#parent = result.hash
    report({ kind: 'checkpoint', step, path: result.path, seconds: result.seconds })
    return undefined
  }

  #notice(event: CrewEvent): void {
    if (event.kind === 'lost') this.#lost++
    this.#log.write(troubleOf(event))
  }

  #account(step: Step): void {
    const disturbed = this.#lost > 0
    this.#goodput.add(step.seconds, disturbed)
    if (disturbed) {
      const lostSeconds = Math.max(0, step.seconds - (this.#goodput.usual ?? 0))
      this.#log.write({ kind: 'recovered', step: step.number, seconds: step.seconds, lostSeconds })
    }
    this.#lost = 0
  }
}
