// One run while it is open: model, trainer, data, logs and the folder they are written to. The flow of a run is run.ts;
// what is measured, saved and exported along the way is here.
import { CheckpointError, scope, type DType, type Tensor } from '@hearth/torch'
import {
  loadLatest,
  prune,
  realStorage,
  saveCheckpoint,
  type Json,
  type LoadedCheckpoint,
} from '../checkpoint/index.js'
import type { TextBatch } from '../data/index.js'
import { placeModel, type LanguageModel } from '../models/index.js'
import type { Schedule } from '../optim/index.js'
import { flattenTree } from '../tree/index.js'
import { changesOf, configHash } from './changes.js'
import type { RunConfig } from './config.js'
import { poisoned, type Poison } from './drill/poison.js'
import type { Engine } from './engine.js'
import { EventLog, refusalOf, type RunTrouble } from './event-log.js'
import { checkBeginning, finishRewind } from './go-back.js'
import type { HeldOutLoss } from './held-out.js'
import { Judge, type JudgeOptions } from './judge.js'
import { judgedSteps, type Attempt, type JudgedSteps, type RewindVerdict } from './judged-steps.js'
import { optimizerOf, scheduleOfRun } from './optimizer.js'
import type { Report } from './run-events.js'
import type { Run } from './run-folder.js'
import { initialModel } from './run-model.js'
import { StateChanged, StateHashes } from './state-hashes.js'
import type { TextData } from './text-data.js'
import { trainedPart, type TrainedPart } from './trained-part.js'
import { Trainer, type Step } from './trainer.js'

/** What the judge of a run is told. */
export const judgeOptions = ({ guard, every }: RunConfig): JudgeOptions => ({
  ...guard,
  checkpointEvery: every.checkpoint,
})

/** What is saved with the weights: the configuration that they are of, and what the judge knows. */
export const metaOf = (config: RunConfig, judge: Judge): { config: string; judge: Json } => ({
  config: configHash(config),
  judge: judge.state,
})

export class Session implements Engine {
  /** What is trained, and the whole model from it. */
  readonly part: TrainedPart
  readonly trainer: Trainer<unknown, TextBatch>
  readonly schedule: Schedule
  readonly #dtype: DType
  #judge: Judge
  readonly #hashes: StateHashes
  #events: EventLog | undefined
  readonly #run: Run<RunConfig>
  readonly #data: TextData
  readonly #report: Report
  #parent: string | null = null
  #savedStep = -1

  /** @param poison for drills alone */
  constructor(run: Run<RunConfig>, data: TextData, dtype: DType, report: Report, poison: Poison = {}) {
    const { config } = run
    this.#run = run
    this.#dtype = dtype
    this.#judge = new Judge(judgeOptions(config))
    const { guard, every, device } = config
    // What lies in a GPU's memory would have to be copied from there.
    this.#hashes = new StateHashes({ every: device === 'cpu' ? guard.hashEvery : 0, checkpointEvery: every.checkpoint })
    this.#data = data
    this.#report = report
    this.part = trainedPart(config, placeModel(initialModel(config, data.tokenizer, dtype), config.device))
    this.schedule = scheduleOfRun(config, changesOf(run.record, run.paths.config))
    this.trainer = new Trainer({
      weights: this.part.tree,
      ...poisoned({ objective: this.part.objective, batches: data.batches }, poison),
      optimizer: optimizerOf(config, dtype),
      schedule: this.schedule,
      slots: config.slots,
      clip: config.optimizer.clip,
      dtype,
      device: config.device,
      seed: config.seed,
      activationCheckpointing: config.activationCheckpointing,
      updateInBackward: config.updateInBackward,
    })
  }

  get model(): LanguageModel {
    return this.part.model(flattenTree(this.part.tree))
  }

  get step(): number {
    return this.trainer.step
  }

  /** The step of the newest durable checkpoint; -1 when there is none. */
  get savedStep(): number {
    return this.#savedStep
  }

  /** Names that checkpoint. */
  get parent(): string | null {
    return this.#parent
  }

  /** Which gradients count. */
  get judge(): Judge {
    return this.#judge
  }

  async *steps(last: number): AsyncGenerator<Step, void, void> {
    while (this.step < last)
      try {
        yield* judgedSteps(this.#judged(), last)
        await this.#checkState()
      } catch (error) {
        if (!(error instanceof StateChanged)) throw error
        await this.#heal(error.tensors)
      }
  }

  #judged(): JudgedSteps {
    const stepOf = () => this.step
    return {
      judge: this.#judge,
      get step() {
        return stepOf()
      },
      // An update inside the backward pass changes the weights before there is an attempt.
      prepare: () => (this.#run.config.updateInBackward ? this.#checkState() : undefined),
      attempt: (step, batch) => this.#attempt(step, batch),
      onRefusal: (refusal) => refusal.verdict.kind !== 'rewind' && this.#note(refusalOf(refusal)),
      // In memory, as the step itself.
      keepJudgement: () => undefined,
      rewind: (verdict) => this.#rewind(verdict),
    }
  }

  /** What it was computed from is looked at before it is judged. */
  async #attempt(step: number, batch: number): Promise<Attempt> {
    const attempt = await this.trainer.attempt(step, batch)
    const changed = this.#run.config.updateInBackward ? [] : this.#hashes.check(this.trainer.state)
    if (changed.length > 0) {
      attempt.drop()
      throw new StateChanged(changed)
    }
    const commit = async () => {
      await attempt.commit()
      this.#hashes.record(this.trainer.state)
    }
    return { ...attempt, commit }
  }

  /** Goes back to a checkpoint where memory has changed what the last step wrote. */
  async #checkState(): Promise<void> {
    const changed = this.#hashes.check(this.trainer.state)
    if (changed.length > 0) await this.#heal(changed)
  }

  async #heal(tensors: string[]): Promise<void> {
    const { step } = this
    await this.#goBack({ to: step, reason: `memory has changed ${tensors.join(', ')}` })
    this.#note({ kind: 'corrupt', step, tensors, healedBy: 'a checkpoint' })
  }

  /** Goes on from the newest checkpoint that is whole; from the beginning when there is none. */
  async restore(): Promise<void> {
    const latest = await this.load()
    if (latest === undefined) return
    this.#judge = new Judge(judgeOptions(this.#run.config), (latest.meta as { judge?: Json }).judge)
    this.#report({ kind: 'restored', step: latest.step, path: latest.path })
  }

  /**
   * Takes over the newest checkpoint that is whole.
   * @param upTo checkpoints of later steps are passed over
   * @returns undefined when there is none: then nothing was changed
   */
  async load(upTo?: number): Promise<Pick<LoadedCheckpoint, 'step' | 'path' | 'meta'> | undefined> {
    const onRefused = ({ path, problems }: { path: string; problems: readonly string[] }) =>
      this.#report({
        kind: 'warning',
        message: `checkpoint ${path} is refused, the one before it is used: ${problems.join('; ')}`,
      })
    const options = { onRefused, ...(upTo !== undefined && { upTo }) }
    using latest = await loadLatest(realStorage, this.#run.paths.checkpoints, options)
    if (latest === undefined) return undefined
    const saved = (latest.meta as { config?: string }).config
    if (saved !== configHash(this.#run.config))
      throw new CheckpointError(
        `${latest.path} was written with another configuration than ${this.#run.paths.config} holds`,
        {
          remedy: 'put back the config.json that the run was started with, or start a new run from its exported model',
        },
      )
    scope(() => {
      const tensors: Record<string, Tensor> = {}
      for (const name of Object.keys(this.trainer.state.tensors)) tensors[name] = latest.tensor(name)
      this.trainer.restore({ step: latest.step, tensors })
    })
    this.#parent = latest.hash
    this.#savedStep = latest.step
    return { step: latest.step, path: latest.path, meta: latest.meta }
  }

  /** Back to a checkpoint, or to the beginning; what is saved at once has the batches that are left out from there. */
  async #rewind(verdict: RewindVerdict): Promise<void> {
    await this.#goBack(verdict)
    this.#savedStep = -1
    await finishRewind(verdict, this.step, {
      checkpoints: this.#run.paths.checkpoints,
      save: () => this.save(),
      note: (event) => this.#note(event),
      report: this.#report,
    })
  }

  async #goBack(verdict: Pick<RewindVerdict, 'to' | 'reason'>): Promise<void> {
    const found = await this.load(verdict.to)
    if (found === undefined) {
      checkBeginning(verdict, this.#run.config)
      const initial = new Session(this.#run, this.#data, this.#dtype, () => undefined)
      const { tensors } = initial.trainer.state
      this.trainer.restore({ step: 0, tensors })
      Object.values(tensors).forEach((tensor) => tensor.dispose())
      this.#parent = null
      this.#savedStep = -1
    }
    this.#judge.restored((found?.meta as { judge?: Json } | undefined)?.judge)
  }

  #note(event: RunTrouble): void {
    const warn = (error: Error) =>
      this.#report({ kind: 'warning', message: `events cannot be written: ${error.message}` })
    const tell = (trouble: RunTrouble) => this.#report({ kind: 'trouble', event: trouble })
    this.#events ??= new EventLog(this.#run.paths.events, tell, warn)
    this.#events.write(event)
  }

  /** Writes a durable checkpoint of the step just done, unless there is one; gives the error of a disk that refuses. */
  async save(): Promise<CheckpointError | undefined> {
    // Between steps: what it goes back to is saved already.
    await this.#checkState()
    const { step, tensors } = this.trainer.state
    if (step === this.#savedStep) return undefined
    const { checkpoints } = this.#run.paths
    const started = performance.now()
    try {
      this.#report({ kind: 'phase', phase: 'checkpoint' })
      const meta = metaOf(this.#run.config, this.#judge)
      const saved = await saveCheckpoint(realStorage, checkpoints, { step, tensors, meta, parent: this.#parent })
      this.#parent = saved.hash
      this.#savedStep = step
      this.#report({ kind: 'checkpoint', step, path: saved.path, seconds: (performance.now() - started) / 1000 })
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      return error
    }
    await this.#prune()
    return undefined
  }

  /** Old checkpoints that cannot be removed cost room, nothing else. */
  async #prune(): Promise<void> {
    try {
      const { keepCheckpoints: keepLast, every } = this.#run.config
      await prune(realStorage, this.#run.paths.checkpoints, { keepLast, planned: every.checkpoint })
    } catch (error) {
      this.#report({ kind: 'warning', message: `old checkpoints cannot be removed: ${(error as Error).message}` })
    }
  }

  /** Loss on held-out text; undefined when the run holds none back. */
  async evaluate(maxTokens: number | undefined, signal?: AbortSignal): Promise<HeldOutLoss | undefined> {
    const { bytesPerToken, heldOutTokens } = this.#data
    if (heldOutTokens === 0) return undefined
    const of = Math.min(maxTokens ?? Infinity, heldOutTokens)
    return this.part.measure(flattenTree(this.part.tree), this.#data.heldOut(), {
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(bytesPerToken === undefined ? {} : { bytesPerToken }),
      ...(signal === undefined ? {} : { signal }),
      device: this.#run.config.device,
      onProgress: (done) => this.#report({ kind: 'phase', phase: 'evaluating', done, of }),
    })
  }

  /** Writes the model or its adapter, inside the run, tokenizer included; returns the folder. */
  async export(): Promise<string> {
    this.#report({ kind: 'phase', phase: 'export' })
    return await this.part.export(this.#run.paths, flattenTree(this.part.tree), this.#data.tokenizer)
  }

  close(): Promise<void> {
    this.#events?.close()
    return Promise.resolve()
  }
}
