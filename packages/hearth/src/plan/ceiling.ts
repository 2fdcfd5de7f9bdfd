// From a budget to the largest model: the planner the other way round. The answers are shapes of the ladder (ladder.ts), each
// planned as a whole, so that what is said of it is what planTraining() says.
import { OPTIMAL_TOKENS_PER_PARAMETER } from './compute.js'
import { planTraining } from './forward.js'
import type { Hardware } from './hardware.js'
import { layersFor, shapeOf, widestThat, widths } from './ladder.js'
import { roomOf } from './layouts.js'
import { RUNNING_BYTES, runningMemory, type Method } from './memory.js'
import { plannedModel, type PlannedModel } from './planned-model.js'
import { completed, type CheckedInput } from './request.js'

/** What there is. */
export interface Means {
  hardware: Hardware
  hardwareName: string
  /** Money; undefined where it does not count. */
  budget?: number | undefined
  /** undefined where there is all the time. */
  days?: number | undefined
  /** As for a plan; its tokens are those of the training that is asked for beside the compute-optimal one. */
  input: CheckedInput
}

/** What a model is wanted for. */
export type Goal = 'train' | 'train-tokens' | 'full' | 'lora' | 'qlora' | 'run' | 'run-int8' | 'run-int4'

/** What keeps it from being larger. */
export type Limit = 'memory' | 'money' | 'time' | 'ladder'

export interface Ceiling {
  goal: Goal
  /** undefined where even the smallest is too large. */
  largest: { shape: string; parameters: number; tokens: number; hours: number; money: number | undefined } | undefined
  limit: Limit
}

/** Tokens that a model is adapted with. */
const ADAPTING_TOKENS = 1e7

/** Every goal that means something for these means, in order. */
export const goalsOf = ({ input }: Means): Goal[] => [
  'train',
  ...(input.tokens === undefined ? [] : (['train-tokens'] as const)),
  ...(['full', 'lora', 'qlora', 'run', 'run-int8', 'run-int4'] as const),
]

const built = new Map<number, PlannedModel>()

function modelOf(width: number): PlannedModel {
  const known = built.get(width)
  if (known !== undefined) return known
  const layers = layersFor(width)
  const model = plannedModel(`${layers}x${width}`, shapeOf(layers, width))
  built.set(width, model)
  return model
}

/**
 * The largest model for a goal.
 * @example
 * ceilingFor('train', means).largest?.parameters
 */
export function ceilingFor(goal: Goal, means: Means): Ceiling {
  const attempt = (width: number) => attemptOf(goal, means, modelOf(width))
  const width = widestThat((each) => attempt(each).limit === undefined)
  const above = widths[width === undefined ? 0 : widths.indexOf(width) + 1]
  const limit = above === undefined ? 'ladder' : (attempt(above).limit ?? 'ladder')
  return { goal, largest: width === undefined ? undefined : attempt(width).found, limit }
}

function attemptOf(goal: Goal, means: Means, model: PlannedModel) {
  const { name: shape } = model
  const { parameters } = model.shape
  if (goal === 'run' || goal === 'run-int8' || goal === 'run-int4') {
    const found = { shape, parameters, tokens: 0, hours: 0, money: undefined }
    return { found, limit: runs(goal, means, model) ? undefined : ('memory' as const) }
  }
  const { input, hardware, hardwareName, budget = Infinity, days = Infinity } = means
  const method: Method = goal === 'lora' || goal === 'qlora' ? goal : 'full'
  const tokens = tokensFor(goal, input, parameters)
  const checked = { ...input, method, tokens, context: contextOf(means), histories: 0 }
  const plan = planTraining({ ...completed(checked, model, hardware), hardwareName })
  const found = { shape, parameters, tokens, hours: plan.hours, money: plan.money }
  const limit = !plan.fits
    ? 'memory'
    : (plan.money ?? 0) > budget
      ? 'money'
      : plan.hours > days * 24
        ? 'time'
        : undefined
  return { found, limit: limit as Limit | undefined }
}

function tokensFor(goal: Goal, { tokens }: CheckedInput, parameters: number): number {
  if (goal === 'train') return OPTIMAL_TOKENS_PER_PARAMETER * parameters
  return goal === 'train-tokens' ? tokens! : ADAPTING_TOKENS
}

/** Tokens of a sample: the ladder's models read 4096. */
const contextOf = ({ input }: Means): number => Math.min(input.context ?? 2048, 4096)

/** All devices hold a part of the layers each. */
function runs(
  goal: 'run' | 'run-int8' | 'run-int4',
  { hardware, input, ...means }: Means,
  model: PlannedModel,
): boolean {
  const bytes = { run: RUNNING_BYTES.bf16, 'run-int8': RUNNING_BYTES.int8, 'run-int4': RUNNING_BYTES.int4 }[goal]
  return (
    runningMemory(model, bytes, contextOf({ hardware, input, ...means })).total <= roomOf({ hardware }) * input.devices
  )
}

/** How the ceiling of a goal grows with the money: a curve of (money, parameters). */
export function ceilingCurve(goal: Goal, means: Means, budgets: readonly number[]) {
  return budgets.map((budget) => ({
    budget,
    parameters: ceilingFor(goal, { ...means, budget }).largest?.parameters ?? 0,
  }))
}
