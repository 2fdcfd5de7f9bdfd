// Muon: momentum whose direction is made orthogonal, for the matrices inside the blocks of a network. Everything else
// (embeddings, head, norms, biases) is left to AdamW, as its author does.
import {
  addmm,
  ConfigError,
  hasFastBfloat16,
  linalgVectorNorm,
  scope,
  type ConfigIssue,
  type Tensor,
} from '@hearth/torch'
import { adamw, adamwIssues, type AdamwSettings } from './adamw.js'
import {
  eachWeight,
  expectSetting,
  groupIssues,
  inPlace,
  settingsOf,
  zeroState,
  type Optimizer,
  type ParameterGroup,
} from './optimizer.js'

export interface MuonSettings {
  /** @default 0.95 */
  momentum?: number
  /** Look one momentum step ahead. @default true */
  nesterov?: boolean
  /** @default 5 */
  newtonSchulzSteps?: number
  /** Arithmetic of the Newton-Schulz steps. @default bfloat16 where the hardware multiplies it fast, else float32 */
  dtype?: 'float32' | 'bfloat16'
  /** Decoupled, of the matrices. @default 0.1 */
  weightDecay?: number
  /**
   * The matrices' learning rate as a multiple of the one given to update(), which is AdamW's. An orthogonal update is
   * as large as its learning rate says, so it wants 0.02 or so where AdamW wants 3e-4.
   * @default 1
   */
  matrixLearningRateScale?: number
  /** Groups of the matrices. */
  groups?: readonly ParameterGroup[]
  /** Which weights are hidden matrices. @default those of two dimensions inside a numbered block, `blocks.3.` */
  isMatrix?: (path: string, weight: Tensor) => boolean
  /** For all other weights. */
  adamw?: AdamwSettings
}

/** Coefficients of the quintic iteration; its singular values end between about 0.7 and 1.2, which is near enough. */
const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315] as const

const insideBlock = (path: string, weight: Tensor): boolean =>
  weight.shape.length === 2 && /(^|\.)\d+\./.test(path) && !/embed/i.test(path)

/**
 * Muon, after Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): b ← μb + g, with
 * the direction g + μb (Nesterov) or b made orthogonal and scaled by √max(1, rows/columns).
 * State: `momentum.<path>` for matrices, `m.<path>` and `v.<path>` for the rest.
 * @throws ConfigError listing every setting that is out of range
 */
export function muon(settings: MuonSettings = {}): Optimizer {
  const issues = muonIssues(settings)
  if (issues.length > 0) throw new ConfigError('Muon', issues)
  const { momentum = 0.95, nesterov = true, newtonSchulzSteps = 5, weightDecay = 0.1, groups = [] } = settings
  const { matrixLearningRateScale = 1, isMatrix = insideBlock } = settings
  const rest = adamw(settings.adamw)
  const select = (weights: Readonly<Record<string, Tensor>>, matrices: boolean) =>
    Object.fromEntries(Object.entries(weights).filter(([path, weight]) => isMatrix(path, weight) === matrices))
  return {
    init: (weights) => ({ ...zeroState(select(weights, true), ['momentum']), ...rest.init(select(weights, false)) }),
    update: (options) => {
      const { learningRate, gradientScale = 1 } = options
      rest.update({ ...options, weights: select(options.weights, false) })
      eachWeight({ ...options, weights: select(options.weights, true) }, ['momentum'], (update) => {
        const { path, gradient } = update
        const { weight, state } = inPlace(update)
        const buffer = state[0]!.mul_(momentum).add_(gradient, { alpha: gradientScale })
        const direction = nesterov ? buffer.mul(momentum).add_(gradient, { alpha: gradientScale }) : buffer
        const own = settingsOf(path, weight, groups, weightDecay)
        const rate = learningRate * matrixLearningRateScale * own.learningRateScale
        const size = Math.sqrt(Math.max(1, weight.shape[0]! / weight.shape[1]!))
        weight.mul_(1 - rate * own.weightDecay)
        const dtype = settings.dtype ?? (hasFastBfloat16(weight.device) ? 'bfloat16' : 'float32')
        weight.add_(orthogonalize(direction, { steps: newtonSchulzSteps, dtype }), { alpha: -rate * size })
      })
    },
  }
}

/**
 * Roughly U Vᵀ of the singular value decomposition U S Vᵀ of a matrix, by Newton-Schulz steps: matrix products alone.
 * @param matrix (rows, columns), not changed
 */
export function orthogonalize(
  matrix: Tensor,
  options: { steps?: number; dtype?: 'float32' | 'bfloat16' } = {},
): Tensor {
  const { steps = 5, dtype = 'float32' } = options
  const [a, b, c] = NEWTON_SCHULZ
  return scope(() => {
    const tall = matrix.shape[0]! > matrix.shape[1]!
    // Norm of the rows, then of their norms: sums whose order the number of threads does not change.
    const norm = linalgVectorNorm(linalgVectorNorm(matrix, { dim: [1] }))
    const scaled = matrix.div(norm.add_(1e-7)).to(dtype)
    let x = tall ? scaled.transpose(0, 1) : scaled
    for (let step = 0; step < steps; step++) {
      const next = scope(() => {
        const square = x.matmul(x.transpose(0, 1))
        return addmm(x, addmm(square, square, square, { beta: b, alpha: c }), x, { beta: a })
      })
      x.dispose()
      x = next
    }
    return tall ? x.transpose(0, 1) : x
  })
}

/** What is wrong with the settings, for configurations that report everything at once. */
export function muonIssues(settings: MuonSettings): ConfigIssue[] {
  const { momentum = 0.95, newtonSchulzSteps = 5, weightDecay = 0.1, groups = [] } = settings
  const { matrixLearningRateScale = 1, adamw: rest = {} } = settings
  const wholeSteps = (x: number) => Number.isInteger(x) && x >= 1
  return [
    ...expectSetting('momentum', momentum, 'a number from 0 to below 1', (x) => x >= 0 && x < 1),
    ...expectSetting('newtonSchulzSteps', newtonSchulzSteps, 'an integer from 1', wholeSteps),
    ...expectSetting('weightDecay', weightDecay, 'a number from 0', (x) => x >= 0),
    ...expectSetting('matrixLearningRateScale', matrixLearningRateScale, 'a number from 0', (x) => x >= 0),
    ...groupIssues(groups),
    ...adamwIssues(rest).map(({ path, message }) => ({ path: `adamw.${path}`, message })),
  ]
}
