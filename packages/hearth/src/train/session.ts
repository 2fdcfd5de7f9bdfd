// One run while it is open: model, trainer, data, logs and the folder they are written to. The flow of a run is run.ts;
// what is measured, saved and exported along the way is here.
import { CheckpointError, scope, type DType, type Tensor } from '@hearth/torch'
import { loadLatest, prune, realStorage, saveCheckpoint } from '../checkpoint/index.js'
import type { TextBatch } from '../data/index.js'
import { saveModel } from '../formats/index.js'
import { placeModel, type LanguageModel } from '../models/index.js'
import type { Schedule } from '../optim/index.js'
import { changesOf, configHash } from './changes.js'
import type { RunConfig } from './config.js'
import type { Engine } from './engine.js'
import { heldOutLoss, type HeldOutLoss } from './held-out.js'
import { nextToken } from './objective.js'
import { optimizerOf, scheduleOfRun } from './optimizer.js'
import type { Report } from './run-events.js'
import type { Run } from './run-folder.js'
import { initialModel } from './run-model.js'
import type { TextData } from './text-data.js'
import { Trainer, type Step } from './trainer.js'

export class Session implements Engine {
  readonly model: LanguageModel
  readonly trainer: Trainer<unknown, TextBatch>
  readonly schedule: Schedule
  readonly #run: Run<RunConfig>
  readonly #data: TextData
  readonly #report: Report
  #parent: string | null = null
  #savedStep = -1

  constructor(run: Run<RunConfig>, data: TextData, dtype: DType, report: Report) {
    const { config } = run
    this.#run = run
    this.#data = data
    this.#report = report
    this.model = placeModel(initialModel(config, data.tokenizer), config.device)
    this.schedule = scheduleOfRun(config, changesOf(run.record, run.paths.config))
    this.trainer = new Trainer({
      weights: this.model.weights,
      objective: nextToken(this.model),
      batches: data.batches,
      optimizer: optimizerOf(config, dtype),
      schedule: this.schedule,
      slots: config.slots,
      clip: config.optimizer.clip,
      dtype,
      device: config.device,
      seed: config.seed,
      activationCheckpointing: config.activationCheckpointing,
    })
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

  steps(last: number): AsyncGenerator<Step, void, void> {
    return this.trainer.steps(last)
  }

  /** Goes on from the newest checkpoint that is whole; from the beginning when there is none. */
  async restore(): Promise<void> {
    const onRefused = ({ path, problems }: { path: string; problems: readonly string[] }) =>
      this.#report({
        kind: 'warning',
        message: `checkpoint ${path} is refused, the one before it is used: ${problems.join('; ')}`,
      })
    using latest = await loadLatest(realStorage, this.#run.paths.checkpoints, { onRefused })
    if (latest === undefined) return
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
    this.#report({ kind: 'restored', step: latest.step, path: latest.path })
  }

  /** Writes a durable checkpoint of the step just done, unless there is one; gives the error of a disk that refuses. */
  async save(): Promise<CheckpointError | undefined> {
    const { step, tensors } = this.trainer.state
    if (step === this.#savedStep) return undefined
    const { checkpoints } = this.#run.paths
    const started = performance.now()
    try {
      this.#report({ kind: 'phase', phase: 'checkpoint' })
      const meta = { config: configHash(this.#run.config) }
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
      await prune(realStorage, this.#run.paths.checkpoints, { keepLast: this.#run.config.keepCheckpoints })
    } catch (error) {
      this.#report({ kind: 'warning', message: `old checkpoints cannot be removed: ${(error as Error).message}` })
    }
  }

  /** Loss on held-out text; undefined when the run holds none back. */
  async evaluate(maxTokens: number | undefined, signal?: AbortSignal): Promise<HeldOutLoss | undefined> {
    const { bytesPerToken, heldOutTokens } = this.#data
    if (heldOutTokens === 0) return undefined
    const of = Math.min(maxTokens ?? Infinity, heldOutTokens)
    return heldOutLoss(this.model, this.#data.heldOut(), {
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(bytesPerToken === undefined ? {} : { bytesPerToken }),
      ...(signal === undefined ? {} : { signal }),
      device: this.#run.config.device,
      onProgress: (done) => this.#report({ kind: 'phase', phase: 'evaluating', done, of }),
    })
  }

  /** Writes the model as a Hugging Face folder inside the run, tokenizer included; returns the folder. */
  async export(): Promise<string> {
    this.#report({ kind: 'phase', phase: 'export' })
    const folder = this.#run.paths.model
    await saveModel(folder, this.model, { tokenizer: this.#data.tokenizer })
    return folder
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
