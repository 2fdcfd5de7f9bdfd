// A run from its configuration to an exported model: prepare the data, train with hooks, stop at any step and resume
// with the same bits. Not here: how a step is done (trainer.ts), what is saved and measured (session.ts).
import { existsSync, renameSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { hasFastBfloat16, HearthError, TorchError, type DType } from '@hearth/torch'
import { isS3, listCheckpoints, realStorage } from '../checkpoint/index.js'
import type { Tokenizer } from '../data/index.js'
import type { LanguageModel } from '../models/index.js'
import { changeConfig, changesOf, withChange, type ChangedConfig } from './changes.js'
import { resolveConfig, type RunConfig } from './config.js'
import { checkApart } from './copies/check-places.js'
import { fetchMissing } from './copies/restore-run.js'
import { RunCopies } from './copies/run-copies.js'
import { hearEvents } from './event-loop.js'
import { FLOP_CONVENTION, flopsPerToken, measurePeak } from './flops.js'
import { runHooks } from './hooks.js'
import { hooksOf, type Measure, type Open } from './run-hooks.js'
import { LeaderLog } from './machines/leader-log.js'
import type { Report, RunResult } from './run-events.js'
import { createRun, openRun, readRun, runPaths, type Run, type RunRecord } from './run-folder.js'
import { saveAtLast } from './last-save.js'
import { checkCrew, checkDevice, findMistakes, keepData } from './check-run.js'
import { scheduleOf } from './optimizer.js'
import { explained } from './system-errors.js'
import { leftStep, type RankOptions } from './sharded/shard-folder.js'
import type { ShardedSessionOptions } from './sharded/sharded-session.js'
import type { SupervisedOptions } from './supervised-options.js'
import type { Engine } from './engine.js'
import { openEngine } from './open-engine.js'
import { prepareText } from './text-data.js'
import { leftState } from './supervised-state.js'
import type { Step } from './trainer.js'

/** Writes a text in the model's voice; given by the caller, because generation builds on training, not the other way. */
export type Sampler = (
  model: LanguageModel,
  tokenizer: Tokenizer,
  prompt: string,
  signal?: AbortSignal,
) => Promise<string>

export interface RunOptions {
  /** Asks the run to finish its step, save and return. */
  signal?: AbortSignal
  report?: Report
  /** Needed for `every.sample`. */
  sampler?: Sampler
  /** Worker processes under a supervisor, which brings the run through their loss; in this process when it is not given. */
  workers?: number
  /** Workers that are enough to go on when some cannot be replaced. @default workers */
  minWorkers?: number
  /** Replaces a worker that is slow beside the others. @default false: it is reported */
  replaceSlow?: boolean
  /** For drills alone: see SupervisedOptions. */
  drill?: Pick<SupervisedOptions, 'onCrew' | 'patience' | 'poison'>
  /** Processes with memory of their own that share weights, gradients and optimizer state; see sharded/stages.ts. */
  ranks?: RankOptions
  /** For drills of ranks alone. */
  rankDrill?: Pick<ShardedSessionOptions, 'onRanks' | 'patience'>
}

/** The dtype of a run's arithmetic: `auto` is bf16 where the processor or GPU multiplies it in hardware. */
export function computeDtype(config: RunConfig): DType {
  if (config.dtype !== 'auto') return config.dtype
  if (config.weights === 'bfloat16') return 'bfloat16'
  return hasFastBfloat16(config.device) ? 'bfloat16' : 'float32'
}

/**
 * Trains a new run.
 * @param options.dir the run's folder, which must not exist yet
 * @throws ConfigError, DataError before the folder is made; HearthError when it exists
 * @example
 * await startRun(resolveConfig(spark({ data: ['texts/'] })), { dir: 'runs/mine' })
 */
export async function startRun(config: RunConfig, options: RunOptions & { dir: string }): Promise<RunResult> {
  checkApart(config, options.dir)
  await findMistakes(config, options)
  using run = createRun(options.dir, { config: withDtype(config) })
  return await resumable(run, () => train(run, options))
}

/** What was found automatically is written down: the run resumes with the same arithmetic on another machine. */
function withDtype(config: RunConfig): RunConfig {
  const copies = config.copies.map((copy) => ({ ...copy, to: isS3(copy.to) ? copy.to : resolve(copy.to) }))
  return { ...config, copies, dtype: computeDtype(config) as RunConfig['dtype'] }
}

/**
 * Says what is wrong with a run that is to be made, all at once, and changes nothing.
 * @throws ConfigError, DataError
 */
export async function checkNewRun(dir: string, config: RunConfig): Promise<void> {
  checkApart(config, dir)
  await findMistakes(config, {})
}

/**
 * Makes a new run and its tokens, for machines that then join it (joinRun); or, with `resume`, takes one that is there.
 * The run stays taken until it is closed.
 */
export async function prepareRun(
  dir: string,
  made: { config: RunConfig } | 'resume',
  report: Report,
): Promise<Run<RunConfig>> {
  if (made !== 'resume') await checkNewRun(dir, made.config)
  const run = made === 'resume' ? openRun<RunConfig>(dir) : createRun(dir, { config: withDtype(made.config) })
  try {
    const { hash } = await prepareText(run.config, run.folder, { report })
    await keepData(run, hash)
    return run
  } catch (error) {
    run.close()
    throw error
  }
}

export interface ResumeOptions extends RunOptions {
  /** Gives the configuration with changed fields: what decided the bits of steps already done must stay. */
  change?: (config: RunConfig) => unknown
}

/**
 * Goes on with a run that was stopped, crashed or lost its machine, from its newest whole checkpoint.
 * @throws HearthError when there is no run; CheckpointError when every checkpoint is damaged
 * @throws ConfigError naming every changed field that cannot change, and the run is left as it was
 * @example
 * await resumeRun('runs/mine', { change: (config) => ({ ...config, steps: 2000 }) })
 */
export async function resumeRun(dir: string, { change, ...options }: ResumeOptions = {}): Promise<RunResult> {
  const step = await stepsDone(resolve(dir))
  const changed = (record: RunRecord<RunConfig>) => {
    const where = runPaths(resolve(dir)).config
    const config = resolveConfig(record.config, where)
    changesOf(record, where)
    checkDevice(config)
    checkCrew(config, options)
    const made = change && changeConfig(record.config, change(record.config), { step, where: `changes of ${dir}` })
    checkApart(made?.config ?? config, dir)
    return made
  }
  // Mistakes are found before the run is touched.
  changed(readRun(dir))
  using run = openRun<RunConfig>(dir)
  const made = changed(run.record)
  if (made) applyChange(run, made, options.report)
  return await resumable(run, async () => {
    await fetchMissing(run.folder, run.config, options.report ?? (() => undefined))
    return await train(run, options)
  })
}

/** By the newest checkpoint, or by the state that killed workers left, if that is ahead. */
async function stepsDone(folder: string): Promise<number> {
  const saved = (await listCheckpoints(realStorage, runPaths(folder).checkpoints))[0]?.step ?? 0
  const record = readRun<RunConfig>(folder)
  return Math.max(saved, leftState(folder, record)?.step ?? 0, leftStep(folder, record) ?? 0)
}

function applyChange(run: Run<RunConfig>, { config, change }: ChangedConfig, report?: Report): void {
  const before = run.config
  const { model } = runPaths(run.folder)
  // The model of the former end stays, beside that of the new one.
  if (config.steps !== before.steps && existsSync(model)) {
    const kept = `${model}-step-${String(before.steps).padStart(8, '0')}`
    rmSync(kept, { recursive: true, force: true })
    renameSync(model, kept)
  }
  run.change({ config, changes: withChange(changesOf(run.record, run.paths.config), change) })
  const learningRates = [before, config].map((each) => scheduleOf(each)(change.step)) as [number, number]
  report?.({ kind: 'change', change, learningRates })
}

async function train(run: Run<RunConfig>, options: RunOptions): Promise<RunResult> {
  const { config } = run
  const { signal } = options
  const copies = new RunCopies(run, options.report ?? (() => undefined))
  const report = copies.following
  const data = await unlessStopped(signal, () => prepareText(config, run.folder, { report, ...(signal && { signal }) }))
  if (data === undefined) return { dir: run.folder, of: config.steps, step: 0, stopped: true }
  await keepData(run, data.hash)
  report({ kind: 'phase', phase: 'model' })
  const dtype = computeDtype(config)
  const engine = await openEngine({ run, data, dtype, report }, options)
  try {
    const result = await trainWith(engine, { ...options, report, run, engine, tokenizer: data.tokenizer }, dtype)
    await copies.finish(signal)
    return result
  } finally {
    await engine.close()
    await copies.close()
  }
}

/** The steps of a run on an engine, and what is written at its end. */
export async function trainWith(engine: Engine, open: Omit<Open, 'log'>, dtype: DType): Promise<RunResult> {
  const { run, report, signal } = open
  const { config } = run
  const result = { dir: run.folder, of: config.steps }
  const onProblem = (error: Error) =>
    report({ kind: 'warning', message: `metrics cannot be written: ${error.message}` })
  const openLog = (afterStep: number) => run.log({ afterStep, flopConvention: FLOP_CONVENTION, onProblem })
  using log = new LeaderLog(() => engine.leads ?? true, openLog)
  log.open(engine.step)
  await trainSteps({ ...open, log }, dtype)
  log.sync()
  await saveAtLast(() => engine.save({ wait: true }), { folder: run.folder, report, ...(signal && { signal }) })
  if (engine.step < config.steps) return { ...result, step: engine.step, stopped: true }
  const heldOut = await engine.evaluate(undefined, signal)
  if (signal?.aborted) return { ...result, step: engine.step, stopped: true }
  if (heldOut) report({ kind: 'evaluation', step: engine.step, heldOut })
  const model = await engine.export()
  run.close('finished')
  return { ...result, step: engine.step, stopped: false, model, ...(heldOut && { heldOut }) }
}

/** A disk that refuses ends the run, but not for good: its error says how it goes on. */
async function resumable<T>({ folder }: Run<RunConfig>, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof TorchError && error.message.includes('cannot allocate'))
      throw new HearthError(`a step of ${folder} needs more memory than there is: ${error.message.split('\n')[0]!}`, {
        cause: error,
        remedy:
          'more slots (parts that the batch is cut into), a smaller batch or sequenceLength, or ' +
          'activationCheckpointing=true, in a new run: what decides its result cannot change in this one',
      })
    throw explained(error, { remedy: `mend that, then go on with: hearth resume ${folder}` })
  }
}

/** What `work` gives; undefined when it threw because the run was asked to stop. */
async function unlessStopped<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (signal?.aborted) return undefined
    throw error
  }
}

/** @param dtype arithmetic whose peak the utilisation is a share of */
function measureOf({ run, engine }: Open, dtype: DType): Measure {
  const { family, config } = engine.model
  const peak = measurePeak(dtype, run.config.device)
  const flops = flopsPerToken(family.shape(config), run.config.sequenceLength)
  return ({ size, seconds }) => {
    const tokensPerSecond = size / seconds
    const memoryBytes = process.memoryUsage.rss()
    return { tokensPerSecond, modelFlopUtilisation: (flops * tokensPerSecond) / peak, memoryBytes }
  }
}

/** The steps themselves, and what happens between them. */
async function trainSteps(open: Open, dtype: DType): Promise<void> {
  const { run, engine, log, report, signal } = open
  const measure = measureOf(open, dtype)
  const hooks = hooksOf(open, measure)
  report({ kind: 'phase', phase: 'training' })
  let before = engine.step
  for await (const step of stepsOf(engine, run.config.steps, signal)) {
    if (step.number <= before) log.rewind(step.number - 1)
    before = step.number
    report({ kind: 'step', step, of: run.config.steps, ...measure(step) })
    await runHooks(hooks, step)
  }
}

/** Steps until the last one, or until the signal asks to stop. */
async function* stepsOf(engine: Engine, last: number, signal: AbortSignal | undefined): AsyncGenerator<Step> {
  await hearEvents()
  if (signal?.aborted) return
  for await (const step of engine.steps(last)) {
    yield step
    // Also a signal that came in the last moment of the step, or in what was done after it.
    await hearEvents()
    if (signal?.aborted) return
  }
}
