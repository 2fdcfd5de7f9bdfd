// A run carried by several machines, on one of them: its own state file, workers and supervisor as on one machine
// (supervised-session.ts), with the others in one group. Every machine does every step; the leader alone writes
// checkpoints and the model. Not here: how machines find each other, what they do in a step (machines.ts).
import { join } from 'node:path'
import { CheckpointError, CommError } from '@hearth/torch'
import type { Committed, Json } from '../../checkpoint/index.js'
import { Supervisor, type CrewEvent } from '../../cluster/index.js'
import { saveModel } from '../../formats/index.js'
import type { LanguageModel } from '../../models/index.js'
import { configHash } from '../changes.js'
import type { Engine } from '../engine.js'
import { Goodput, refusalOf, saverLost, troubleOf, type EventLog, type RunTrouble } from '../event-log.js'
import { checkBeginning, finishRewind } from '../go-back.js'
import type { HeldOutLoss } from '../held-out.js'
import { Judge } from '../judge.js'
import { judgedSteps, type JudgedSteps, type RewindVerdict } from '../judged-steps.js'
import { programs, Saver } from '../saver.js'
import { judgeOptions } from '../session.js'
import { removeStateFolder } from '../state-folder.js'
import type { PreparedState } from '../supervised-state.js'
import type { SupervisedOptions } from '../supervised-options.js'
import type { Step } from '../trainer.js'
import { modelOver } from '../training-model.js'
import type { TrainTask } from '../worker-tasks.js'
import { stateFromDisk } from './disk-state.js'
import { workerEnvironment, workerJob } from './machine-job.js'
import { MachineWorkers } from './machine-workers.js'
import type { Machines } from './machines.js'
import type { DiskPath } from './pass-state.js'

export interface MachineSessionOptions extends SupervisedOptions {
  machines: Machines
  prepared: PreparedState
  /** Names this machine's state. */
  place: string
  log: EventLog
}

const judgeIn = (meta: Json) => (meta as { judge?: Json }).judge

export class MachineSession implements Engine {
  readonly #options: MachineSessionOptions
  readonly #supervisor: Supervisor<TrainTask>
  readonly #saver: Saver
  readonly #workers: MachineWorkers
  readonly #goodput = new Goodput()
  #judge: Judge
  /** The copy that is under way, and the bank that it holds. */
  #copy: { step: number; bank: number; done: Promise<CheckpointError | undefined> } | undefined
  #savedStep: number
  #disturbed = false
  #isDurable = false
  #left = false

  constructor(options: MachineSessionOptions) {
    const { run, workers, machines, prepared } = options
    const { state, gradients, sizes, schedule } = prepared
    this.#options = options
    this.#judge = prepared.judge
    this.#savedStep = prepared.savedStep
    this.#supervisor = new Supervisor<TrainTask>({
      size: workers,
      entry: join(programs, 'worker-process.js'),
      job: workerJob(options),
      env: workerEnvironment(workers),
      spares: 1,
      onEvent: (event) => this.#notice(event),
    })
    this.#saver = new Saver({
      job: { state: state.path, hash: prepared.hash, folder: run.paths.checkpoints },
      onLost: (event) => this.#note(saverLost(event)),
    })
    const { slots, optimizer } = run.config
    this.#workers = new MachineWorkers({
      ...{ machines, supervisor: this.#supervisor, state, gradients: gradients!, workers, slots, sizes, schedule },
      clip: optimizer.clip,
      freeBank: () => this.#freeBank(),
    })
  }

  get step(): number {
    return this.#committed.step
  }

  get leads(): boolean {
    return this.#options.machines.leads
  }

  /** This machine has left the run to the others. */
  get left(): boolean {
    return this.#left
  }

  get model(): LanguageModel {
    const { sizes, state, modelConfig } = this.#options.prepared
    const { bank } = this.#committed
    const weights = Object.keys(sizes).map((path) => [path, state.tensor(bank, `weights.${path}`)] as const)
    return modelOver(modelConfig, Object.fromEntries(weights))
  }

  async *steps(last: number): AsyncGenerator<Step, void, void> {
    const { machines } = this.#options
    for (;;) {
      try {
        if (!machines.isConnected && !(await this.#connect())) return
        for await (const step of judgedSteps(this.#judged(), last)) {
          machines.worked()
          this.#account(step)
          yield step
          if (machines.isDue || machines.stops) break
        }
        if (machines.stops || !machines.isDue) return
        if (machines.leaves) {
          this.#left = true
          await machines.quit()
          return
        }
        await machines.leave()
      } catch (error) {
        this.#fall(error)
      }
    }
  }

  async save({ wait }: { wait: boolean }): Promise<CheckpointError | undefined> {
    const { step } = this
    if (!this.leads || step === this.#savedStep) return undefined
    if (this.#copy?.step === step) return wait ? await this.#copy.done : undefined
    await this.#copy?.done
    const done = this.#write(this.#committed).finally(() => (this.#copy = undefined))
    this.#copy = { step, bank: this.#committed.bank, done }
    if (wait) return await done
    void done.then((refused) => refused && this.#options.report({ kind: 'warning', message: refused.message }))
    return undefined
  }

  /** Every machine measures: so none waits for another, and whoever leads next knows it. */
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
    if (!this.leads) return run.paths.model
    report({ kind: 'phase', phase: 'export' })
    await saveModel(run.paths.model, this.model, { tokenizer: data.tokenizer })
    return run.paths.model
  }

  /**
   * Waits until all machines have done all steps and the leader has written what it writes at the end; when the leader is
   * lost meanwhile, the next one writes it.
   */
  async finish(finished: boolean): Promise<void> {
    const { machines } = this.#options
    let led = this.leads
    for (;;) {
      try {
        if (!machines.isConnected && !(await this.#connect())) return
        if (this.leads && !led) {
          await this.save({ wait: true })
          if (finished) await this.export()
          led = true
        }
        await machines.finish()
        // The leader has written a checkpoint of this state.
        this.#isDurable = true
        return
      } catch (error) {
        this.#fall(error)
      }
    }
  }

  async close(): Promise<void> {
    const { prepared, place, log } = this.#options
    await this.#copy?.done.catch(() => undefined)
    await Promise.all([this.#supervisor.stop(), this.#saver.stop()])
    const goodput = this.#goodput.value
    if (goodput.steps > 0) this.#note({ kind: 'goodput', step: this.step, ...goodput })
    log.close()
    const durable = this.#isDurable || this.step === this.#savedStep
    prepared.close()
    if (durable) removeStateFolder(place)
  }

  /**
   * In the newest group, with the newest state and what the judge knew of it.
   * @returns false when this machine is to stop and there is no group: then it has left
   */
  async #connect(): Promise<boolean> {
    const { machines, prepared, run } = this.#options
    const positionOf = () => ({ step: this.step, batch: this.#judge.batchOf(this.step) })
    const freeBank = () => this.#freeBank()
    const isIn = await machines.connect({ state: prepared.state, positionOf, freeBank, disk: this.#disk() })
    this.#judge = new Judge(judgeOptions(run.config), judgeIn(this.#committed.meta))
    this.#left = !isIn
    return isIn
  }

  #disk(): DiskPath {
    const { state } = this.#options.prepared
    return {
      write: async () => {
        await this.#copy?.done
        return this.step === this.#savedStep || (await this.#write(this.#committed)) === undefined
      },
      read: async (wanted) => {
        const { step, bank, meta } = await stateFromDisk(this.#options, await this.#freeBank(), wanted)
        if (meta === undefined || step !== wanted) return false
        state.commit(step, bank, { judge: judgeIn(meta)! })
        return true
      },
    }
  }

  /** @throws whatever is not a group that broke */
  #fall(error: unknown): void {
    if (!(error instanceof CommError)) throw error
    this.#disturbed = true
    this.#options.machines.broke(error, this.step)
  }

  #judged(): JudgedSteps {
    const { state } = this.#options.prepared
    const judge = this.#judge
    const stepOf = () => this.step
    const metaOf = () => ({ judge: judge.state })
    return {
      judge,
      get step() {
        return stepOf()
      },
      prepare: () => undefined,
      attempt: (step, batch) => this.#workers.attempt(step, batch, metaOf),
      onRefusal: (refusal) => refusal.verdict.kind !== 'rewind' && this.#note(refusalOf(refusal)),
      keepJudgement: () => void state.commit(this.step, this.#committed.bank, metaOf()),
      rewind: (verdict) => this.#rewind(verdict),
    }
  }

  /** All machines go back to the same checkpoint; where one finds another, the next step tells, and the newest counts. */
  async #rewind(verdict: RewindVerdict): Promise<void> {
    const { run, report, prepared, machines } = this.#options
    await this.#copy?.done
    await machines.barrier()
    const { step, bank, meta } = await stateFromDisk(this.#options, await this.#freeBank(), verdict.to)
    if (meta === undefined) checkBeginning(verdict, run.config)
    this.#judge.restored(judgeIn(meta ?? {}))
    prepared.state.commit(step, bank, { judge: this.#judge.state })
    this.#savedStep = -1
    await machines.barrier()
    if (!this.leads) return
    const { checkpoints } = run.paths
    const save = () => this.save({ wait: true })
    await finishRewind(verdict, this.step, { checkpoints, save, note: (event) => this.#note(event), report })
  }

  get #committed(): Committed {
    return this.#options.prepared.state.committed!
  }

  async #freeBank(): Promise<number> {
    for (;;) {
      const free = this.#options.prepared.state.free(this.#copy?.bank)
      if (free !== undefined) return free
      await this.#copy?.done
    }
  }

  async #write({ step, bank, meta: committedMeta }: Committed): Promise<CheckpointError | undefined> {
    const { report, run } = this.#options
    report({ kind: 'phase', phase: 'checkpoint' })
    const { keepCheckpoints: keep, every } = run.config
    const meta = { config: configHash(run.config), ...(committedMeta as { judge: Json }) }
    const task = { bank, step, meta, hash: undefined, parent: null, keep, planned: every.checkpoint }
    const result = await this.#saver.save(task)
    if (!result.saved) return new CheckpointError(result.problem)
    if (result.problem !== undefined) report({ kind: 'warning', message: result.problem })
    this.#savedStep = step
    report({ kind: 'checkpoint', step, path: result.path, seconds: result.seconds })
    return undefined
  }

  #note(event: RunTrouble): void {
    this.#options.log.write(event)
  }

  #notice(event: CrewEvent): void {
    if (event.kind === 'lost') this.#disturbed = true
    this.#note(troubleOf(event))
  }

  #account(step: Step): void {
    this.#goodput.add(step.seconds, this.#disturbed)
    this.#disturbed = false
  }
}
