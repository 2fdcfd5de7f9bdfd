// A run carried by supervised workers: the state lies in the state file, worker processes compute, a process of its own
// writes durable checkpoints, and this one decides, notices and logs. Not here: the flow of a run (run.ts), what a step
// is made of (workers.ts), who does what after a fault (hearth/cluster).
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { CheckpointError } from '@hearth/torch'
import type { Committed } from '../checkpoint/index.js'
import { Supervisor, type CrewEvent, type SupervisorOptions } from '../cluster/index.js'
import type { LanguageModel } from '../models/index.js'
import { configHash } from './changes.js'
import type { Engine } from './engine.js'
import { EventLog, Goodput, refusalOf, saverLost, troubleOf } from './event-log.js'
import { checkBeginning, finishRewind } from './go-back.js'
import type { Named } from './gradients.js'
import type { HeldOutLoss } from './held-out.js'
import { judgedSteps, type JudgedSteps, type RewindVerdict } from './judged-steps.js'
import { programs, Saver } from './saver.js'
import { Session } from './session.js'
import { noteProcess } from './left-processes.js'
import { metaIn, StateRecovery } from './state-recovery.js'
import { prepareState, type PreparedState } from './supervised-state.js'
import type { SupervisedOptions } from './supervised-options.js'
import { removeStateFolder } from './state-folder.js'
import type { Step } from './trainer.js'
import type { WorkerJob } from './worker-process.js'
import type { TrainTask } from './worker-tasks.js'
import { Workers, type MetaOf } from './workers.js'
import { BankHashes } from './bank-hashes.js'
import { underDrill } from './drill/crew-under-drill.js'

/** A worker that is ready to take a lost one's place costs memory for the libraries, and makes recovery immediate. */
const SPARES = 1

export class SupervisedSession implements Engine {
  readonly #options: SupervisedOptions
  readonly #prepared: PreparedState
  readonly #supervisor: Supervisor<TrainTask>
  readonly #saver: Saver
  readonly #workers: Workers
  readonly #hashes: BankHashes
  readonly #recovery: StateRecovery
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
    this.#supervisor = new Supervisor<TrainTask>(this.#crewOptions())
    this.#saver = new Saver({
      job: { state: prepared.state.path, hash: prepared.hash, folder: run.paths.checkpoints },
      onLaunch: this.#noteProcess,
      onLost: (event) => this.#log.write(saverLost(event)),
    })
    options.onCrew?.(underDrill(this.#supervisor, this.#saver, prepared.state))
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
    const { groups } = this.#workers
    const { guard, every } = run.config
    this.#hashes = new BankHashes({
      ...{ supervisor: this.#supervisor, groups, every: guard.hashEvery, checkpointEvery: every.checkpoint },
    })
    this.#recovery = this.#recover()
  }

  readonly #noteProcess = (pid: number) => noteProcess(dirname(this.#prepared.state.path), pid)

  #crewOptions(): SupervisorOptions {
    const { workers, minWorkers = workers, replaceSlow = false, patience } = this.#options
    return {
      size: workers,
      least: minWorkers,
      pacedPhase: 'gradients',
      replaceSlow,
      entry: join(programs, 'worker-process.js'),
      job: this.#job(),
      env: this.#threads(),
      spares: SPARES,
      ...patience,
      onLaunch: this.#noteProcess,
      onEvent: (event) => this.#notice(event),
    }
  }

  /** Prepares the state, or takes over what was left, and starts the workers. */
  static async open(options: SupervisedOptions): Promise<SupervisedSession> {
    return new SupervisedSession(options, await prepareState(options))
  }

  get step(): number {
    return this.#committed.step
  }

  get model(): LanguageModel {
    return this.#prepared.part.model(this.#weights)
  }

  /** What is trained, as the step just done left it. */
  get #weights(): Named {
    const weights = Object.fromEntries(
      Object.keys(this.#prepared.sizes).map((path) => [
        path,
        this.#prepared.state.tensor(this.#committed.bank, `weights.${path}`),
      ]),
    )
    return weights
  }

  async *steps(last: number): AsyncGenerator<Step, void, void> {
    do {
      for await (const step of judgedSteps(this.#judged(), last)) {
        this.#account(step)
        yield step
      }
      await this.#recovery.check()
    } while (this.step < last)
  }

  #recover(): StateRecovery {
    const { run, data, dtype, report } = this.#options
    return new StateRecovery({
      ...{ prepared: this.#prepared, workers: this.#workers, hashes: this.#hashes },
      session: () => new Session(run, data, dtype, report),
      freeBank: () => this.#freeBank(),
      isCopied: async (bank) => {
        if (bank === undefined || this.#copy?.bank === bank) await this.#copy?.done
      },
      onBack: ({ parent, savedStep }) => {
        this.#parent = parent
        this.#savedStep = savedStep
      },
      onCorrupt: (event) => this.#log.write(event),
    })
  }

  #judged(): JudgedSteps {
    const { judge, state } = this.#prepared
    const stepOf = () => this.step
    const metaOf: MetaOf = async ({ from, to, step }) => ({
      judge: judge.state,
      from,
      ...(this.#hashes.isDue(step) && { hash: await this.#hashes.record(to) }),
    })
    return {
      judge,
      get step() {
        return stepOf()
      },
      prepare: () => this.#recovery.check(),
      attempt: (step, batch) => this.#workers.attempt(step, batch, metaOf),
      onRefusal: (refusal) => refusal.verdict.kind !== 'rewind' && this.#log.write(refusalOf(refusal)),
      keepJudgement: () => {
        const { step, bank, meta } = this.#committed
        state.commit(step, bank, { ...metaIn(meta), judge: judge.state })
      },
      rewind: (verdict) => this.#rewind(verdict),
    }
  }

  /** Back to a checkpoint, or to the beginning. */
  async #rewind(verdict: RewindVerdict): Promise<void> {
    const { run, report } = this.#options
    await this.#recovery.goBack(verdict.to, () => checkBeginning(verdict, run.config))
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
    return await this.#prepared.part.export(run.paths, this.#weights, data.tokenizer)
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
    const { judge, hash } = metaIn(committedMeta)
    const meta = { config: configHash(run.config), judge }
    const task = { bank, step, meta, hash, parent: this.#parent, keep, planned: every.checkpoint }
    const result = await this.#saver.save(task)
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
