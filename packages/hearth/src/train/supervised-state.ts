// The state that workers share, as a run begins or goes on: taken over from the state file that a crash left behind when
// it is whole and newer than every checkpoint, else made from the newest checkpoint, else from the new model.
import { noGrad, scope, type SafetensorsDescription, type Tensor } from '@hearth/torch'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { StateFile, type Committed, type Json } from '../checkpoint/index.js'
import type { Schedule } from '../optim/index.js'
import { flattenTree } from '../tree/index.js'
import { configHash } from './changes.js'
import { resolveConfig, type RunConfig } from './config.js'
import { runPaths, type RunRecord } from './run-folder.js'
import { endLeftProcesses } from './left-processes.js'
import { Judge } from './judge.js'
import { judgeOptions, Session } from './session.js'
import { partsOf } from './shares.js'
import { findStateFolder, makeStateFolder } from './state-folder.js'
import type { SupervisedOptions } from './supervised-options.js'
import type { TrainedPart } from './trained-part.js'

export interface PreparedState {
  state: StateFile
  /** A bank for each part and one for their sum; undefined where one worker does whole steps. */
  gradients: StateFile | undefined
  parts: number
  hash: string
  /** What is trained; its own tensors are given up. */
  part: TrainedPart
  /** The model's config.json. */
  modelConfig: Record<string, unknown>
  /** Elements of each weight by path, in their order. */
  sizes: Record<string, number>
  schedule: Schedule
  judge: Judge
  /** Where the state came from. */
  from: 'state file' | 'checkpoint' | 'nothing'
  /** The step of the newest durable checkpoint, -1 when there is none, and what names it. */
  savedStep: number
  parent: string | null
  close(): void
}

const STATE = 'state'
const GRADIENTS = 'gradients'
const BANKS = 3

/** Of a run that several machines share. */
export interface OwnPlace {
  /** In place of the run's folder, which they share: names this machine's own state. */
  folder: string
  /** Banks for gradients. */
  parts: number
}

/** @throws ConfigError when the workers cannot have equal shares; CheckpointError when there is no room */
export async function prepareState(options: SupervisedOptions, own?: OwnPlace): Promise<PreparedState> {
  const { run, data, dtype, report, workers } = options
  const { config } = run
  const parts = own?.parts ?? partsOf(config.slots, workers).length
  const folder = own?.folder ?? run.folder
  const shares = parts > 1 || own !== undefined
  const hash = stateHash(run.record)
  const left = findStateFolder(folder)
  if (left !== undefined) await endLeftProcesses(left)
  const session = new Session(run, data, dtype, report)
  await session.restore()
  const { tensors, step } = session.trainer.state
  const weights = flattenTree(session.part.tree)
  const known = {
    parts,
    hash,
    part: session.part,
    modelConfig: { ...session.model.family.toConfig(session.model.config) },
    sizes: Object.fromEntries(Object.entries(weights).map(([path, weight]) => [path, weight.numel])),
    schedule: session.schedule,
    savedStep: session.savedStep,
    parent: session.parent,
  }
  try {
    const taken = takeOver(folder, hash, step)
    const judge = taken ? new Judge(judgeOptions(config), judgeIn(taken.committed!.meta)) : session.judge
    const made = { tensors, step, meta: { judge: judge.state }, gradients: weights, parts: shares ? parts : 0 }
    const state = taken ?? createState(folder, hash, made)
    const gradients = shares ? createGradients(state.path, hash, weights, parts) : undefined
    const from = taken ? 'state file' : session.savedStep >= 0 ? 'checkpoint' : 'nothing'
    const close = () => [state, gradients].forEach((file) => file?.close())
    return { ...known, state, gradients, judge, from, close }
  } finally {
    Object.values(tensors).forEach((tensor) => tensor.dispose())
  }
}

/** Names the run too: one of the same name and configuration that was removed may have left a state. */
const stateHash = ({ config, createdAt }: RunRecord<RunConfig>) => `${configHash(config)} ${createdAt}`

/** What the state file of a run that was killed holds; undefined where there is none of this run. */
export function leftState(runFolder: string, record: RunRecord<RunConfig>): Committed | undefined {
  const where = runPaths(runFolder).config
  const state = takeOver(runFolder, stateHash({ ...record, config: resolveConfig(record.config, where) }), 0)
  const committed = state?.committed
  state?.close()
  return committed
}

/** The state file that a crash left, when it belongs to this configuration and is ahead of the checkpoints. */
function takeOver(runFolder: string, hash: string, step: number): StateFile | undefined {
  const folder = findStateFolder(runFolder)
  if (folder === undefined) return undefined
  try {
    const state = StateFile.open(join(folder, STATE), { config: hash })
    if ((state.committed?.step ?? -1) >= step) return state
    state.close()
  } catch {
    // Torn while it was made, or of another configuration: the checkpoint is what counts then.
  }
  return undefined
}

const describe = (tensors: Record<string, Tensor>): SafetensorsDescription[] =>
  Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape }))

const bytesOf = (tensors: Record<string, Tensor>) => Object.values(tensors).reduce((sum, { nbytes }) => sum + nbytes, 0)

/** What the judge knew when a state was committed. */
const judgeIn = (meta: Json) => (meta as { judge?: Json }).judge

interface NewState {
  tensors: Record<string, Tensor>
  step: number
  meta: Json
  gradients: Record<string, Tensor>
  parts: number
}

function createState(runFolder: string, hash: string, made: NewState): StateFile {
  const { tensors, step, meta, gradients, parts } = made
  const bytes = BANKS * bytesOf(tensors) + (parts > 0 ? (parts + 1) * bytesOf(gradients) : 0)
  const folder = makeStateFolder(runFolder, bytes)
  const state = StateFile.create(join(folder, STATE), { tensors: describe(tensors), config: hash, banks: BANKS })
  fillBank(state, 0, tensors)
  state.commit(step, 0, meta)
  return state
}

/** Copies a whole state into a bank. */
export function fillBank(state: StateFile, bank: number, tensors: Readonly<Record<string, Tensor>>): void {
  noGrad(() => scope(() => Object.entries(tensors).forEach(([name, tensor]) => state.tensor(bank, name).copy_(tensor))))
}

/** Always anew: what is in them is of no worth after a step, and a crash may have left half a file. */
function createGradients(statePath: string, hash: string, weights: Record<string, Tensor>, parts: number): StateFile {
  const path = join(statePath, '..', `${GRADIENTS}-${parts}`)
  rmSync(path, { force: true })
  const float32 = describe(weights).map((tensor) => ({ ...tensor, dtype: 'float32' as const }))
  return StateFile.create(path, { tensors: float32, config: hash, banks: parts + 1 })
}
