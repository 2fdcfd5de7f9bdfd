// Stochastic gradient descent, with momentum where it is asked for. No temporaries: the terms of the update are added
// to the weight one by one.
import { ConfigError, type ConfigIssue } from '@hearth/torch'
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

export interface SgdSettings {
  /** Decay of the running sum of gradients; 0 for none, and no state. @default 0 */
  momentum?: number
  /** Look one momentum step ahead. @default false */
  nesterov?: boolean
  /** Coupled (L2): added to the gradient as a share of the weight. @default 0 */
  weightDecay?: number
  groups?: readonly ParameterGroup[]
}

/**
 * SGD with PyTorch's arithmetic: d = g + λw, b ← μb + d, w ← w - ηb, or w ← w - η(d + μb) with Nesterov's momentum
 * (Sutskever et al., 2013). State: `momentum.<path>` when momentum is above 0.
 * @throws ConfigError listing every setting that is out of range
 */
export function sgd(settings: SgdSettings = {}): Optimizer {
  const issues = sgdIssues(settings)
  if (issues.length > 0) throw new ConfigError('SGD', issues)
  const { momentum = 0, nesterov = false, weightDecay = 0, groups = [] } = settings
  const names = momentum > 0 ? ['momentum'] : []
  return {
    init: (weights) => zeroState(weights, names),
    update: (options) => {
      const { learningRate, gradientScale = 1 } = options
      eachWeight(options, names, (update) => {
        const { path, gradient } = update
        const {
          weight,
          state: [buffer],
        } = inPlace(update)
        const own = settingsOf(path, weight, groups, weightDecay)
        const rate = learningRate * own.learningRateScale
        if (buffer !== undefined) {
          buffer.mul_(momentum).add_(gradient, { alpha: gradientScale })
          if (own.weightDecay > 0) buffer.add_(weight, { alpha: own.weightDecay })
        }
        // The buffer has its share of decay and gradient already; what is left is the direct term.
        if (buffer === undefined || nesterov) {
          if (own.weightDecay > 0) weight.mul_(1 - rate * own.weightDecay)
          weight.add_(gradient, { alpha: -rate * gradientScale })
        }
        if (buffer !== undefined) weight.add_(buffer, { alpha: nesterov ? -rate * momentum : -rate })
      })
    },
  }
}

/** What is wrong with the settings, for configurations that report everything at once. */
export function sgdIssues({
  momentum = 0,
  nesterov = false,
  weightDecay = 0,
  groups = [],
}: SgdSettings): ConfigIssue[] {
  return [
    ...expectSetting('momentum', momentum, 'a number from 0 to below 1', (x) => x >= 0 && x < 1),
    ...(nesterov && momentum === 0 ? [{ path: 'nesterov', message: 'needs a momentum above 0' }] : []),
    ...expectSetting('weightDecay', weightDecay, 'a number from 0', (x) => x >= 0),
    ...groupIssues(groups),
  ]
}
