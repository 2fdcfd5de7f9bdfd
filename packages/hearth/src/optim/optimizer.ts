// What an optimizer is: a state transition over named tensors, with no memory of its own. The caller owns weights,
// gradients and state, so a checkpoint of an optimizer is its state written as safetensors.
// Not here: any particular rule (adamw.ts, sgd.ts, muon.ts), learning rates over time (schedules.ts).
import { CheckpointError, ConfigError, noGrad, scope, zeros, type ConfigIssue, type Tensor } from '@hearth/torch'

/** Moments and the like by name: `m.<path>`, `v.<path>`, `momentum.<path>`. */
export type OptimizerState = Record<string, Tensor>

/** What one step reads and writes. */
export interface UpdateOptions {
  /** float32 master weights by path; changed in place unless `into` is given. */
  weights: Readonly<Record<string, Tensor>>
  /** Gradients by path; a weight without one is left alone. They are not changed. */
  gradients: Readonly<Record<string, Tensor | undefined>>
  /** As `init` made it; changed in place unless `into` is given. */
  state: Readonly<OptimizerState>
  /** Where the new weights and state are written, the old ones staying as they are: the other bank of a state file. */
  into?: { weights: Readonly<Record<string, Tensor>>; state: Readonly<OptimizerState> }
  /** Number of the step, counted from 0. */
  step: number
  learningRate: number
  /**
   * The gradients are used as if multiplied by this: averaging over slots and clipping without a pass of their own.
   * @default 1
   */
  gradientScale?: number
}

/**
 * One rule for changing weights. `update` changes weights and state in place and keeps nothing between calls: what it
 * does is a function of its arguments alone. It reads each tensor once and writes each once, element by element or
 * matrix by matrix, so an implementation may as well read one bank of a state file and write another.
 */
export interface Optimizer {
  /** The state before the first step: zeros, on each weight's device, the widest elements first. The caller owns it. */
  init(weights: Readonly<Record<string, Tensor>>): OptimizerState
  /**
   * One step.
   * @throws ConfigError for a learning rate that is not a number from 0, before anything is changed
   * @throws CheckpointError when the state lacks a tensor, before anything is changed
   */
  update(options: UpdateOptions): void
}

/** Settings of some weights that differ from the rest. The first group that matches a weight decides. */
export interface ParameterGroup {
  /** A pattern found anywhere in the path, or a test. */
  match: RegExp | ((path: string, weight: Tensor) => boolean)
  /** @default 1 */
  learningRateScale?: number
  /** @default the optimizer's own for tensors of two or more dimensions, 0 for the others */
  weightDecay?: number
}

/** What holds for one weight. */
export interface WeightSettings {
  learningRateScale: number
  weightDecay: number
}

/** The settings of one weight: the first matching group's, else weight decay on two or more dimensions alone. */
export function settingsOf(
  path: string,
  weight: Tensor,
  groups: readonly ParameterGroup[],
  weightDecay: number,
): WeightSettings {
  // search() and not test(): a pattern with the g flag must not remember where it stopped.
  const group = groups.find(({ match }) => (match instanceof RegExp ? path.search(match) >= 0 : match(path, weight)))
  return {
    learningRateScale: group?.learningRateScale ?? 1,
    weightDecay: group?.weightDecay ?? (weight.shape.length >= 2 ? weightDecay : 0),
  }
}

/** Zeros like each weight, float32, under `<name>.<path>` for every name. */
export function zeroState(weights: Readonly<Record<string, Tensor>>, names: readonly string[]): OptimizerState {
  const state: OptimizerState = {}
  for (const name of names)
    for (const [path, weight] of Object.entries(weights))
      state[`${name}.${path}`] = zeros(weight.shape, { dtype: 'float32', device: weight.device })
  return state
}

/** One weight in an update, with its state in the order of the names asked for. */
export interface WeightUpdate {
  path: string
  weight: Tensor
  gradient: Tensor
  state: Tensor[]
  /** Where the new ones go, when that is elsewhere. */
  into: { weight: Tensor; state: Tensor[] } | undefined
}

/**
 * Calls `visit` for every weight that has a gradient, in the order of the weights, each in a scope of its own and
 * without recording. `names` are those of its state, or say them for a weight. Everything is looked up before the first visit, so that an error leaves all weights unchanged.
 * @throws ConfigError, CheckpointError as Optimizer.update
 */
export function eachWeight(
  options: UpdateOptions,
  names: readonly string[] | ((weight: Tensor) => readonly string[]),
  visit: (update: WeightUpdate) => void,
): void {
  checkUpdate(options)
  const { weights, gradients, state, into } = options
  const trained = Object.keys(weights).filter((path) => gradients[path] !== undefined)
  const keysOf = (path: string) =>
    (typeof names === 'function' ? names(weights[path]!) : names).map((name) => `${name}.${path}`)
  const missing = trained
    .flatMap(keysOf)
    .filter((key) => state[key] === undefined || (into && into.state[key] === undefined))
  if (missing.length > 0) throw lacking(missing)
  const stateIn = (all: Readonly<OptimizerState>, path: string) => keysOf(path).map((key) => all[key]!)
  const visitPath = (path: string) =>
    visit({
      path,
      weight: weights[path]!,
      gradient: gradients[path]!,
      state: stateIn(state, path),
      into: into && { weight: into.weights[path]!, state: stateIn(into.state, path) },
    })
  noGrad(() => trained.forEach((path) => scope(() => visitPath(path))))
}

/**
 * The tensors that a rule working in place may change: those given, or copies of them at the place they should go to.
 */
export function inPlace({ weight, state, into }: WeightUpdate): { weight: Tensor; state: Tensor[] } {
  if (into === undefined) return { weight, state }
  into.weight.copy_(weight)
  into.state.forEach((tensor, i) => tensor.copy_(state[i]!))
  return into
}

function lacking(missing: readonly string[]): CheckpointError {
  return new CheckpointError(`the optimizer state lacks ${missing.length} tensors: ${missing.slice(0, 3).join(', ')}`, {
    remedy: 'the state belongs to other weights or another optimizer; start it afresh with init(weights)',
  })
}

function checkUpdate({ learningRate, step, gradientScale = 1 }: UpdateOptions): void {
  const issues = [
    ...expectSetting('learningRate', learningRate, 'a number from 0', (x) => x >= 0),
    ...expectSetting('step', step, 'an integer from 0', (x) => x >= 0 && Number.isSafeInteger(x)),
    ...expectSetting('gradientScale', gradientScale, 'a finite number', () => true),
  ]
  if (issues.length > 0) throw new ConfigError('optimizer step', issues)
}

/** No issue when `value` is a finite number that passes `holds`, else one that says so. */
export function expectSetting(
  path: string,
  value: unknown,
  expected: string,
  holds: (value: number) => boolean,
): ConfigIssue[] {
  if (typeof value === 'number' && Number.isFinite(value) && holds(value)) return []
  return [{ path, message: `must be ${expected}, got ${String(value)}` }]
}

/** What is wrong with the groups of an optimizer. */
export function groupIssues(groups: readonly ParameterGroup[]): ConfigIssue[] {
  return groups.flatMap((group, i) => [
    ...(group.match instanceof RegExp || typeof group.match === 'function'
      ? []
      : [{ path: `groups.${i}.match`, message: `must be a RegExp or a function, got ${typeof group.match}` }]),
    ...expectSetting(`groups.${i}.learningRateScale`, group.learningRateScale ?? 1, 'a number from 0', (x) => x >= 0),
    ...expectSetting(`groups.${i}.weightDecay`, group.weightDecay ?? 0, 'a number from 0', (x) => x >= 0),
  ])
}
