// AdamW: Adam with weight decay kept apart from the gradient. Each tensor is one call of our own operator
// (packages/torch/native/kernels/adamw.cc), which passes over memory once; on devices without it, and with
// HEARTH_KERNELS=reference, the same operator is made of ATen's.
import { call, ConfigError, type ConfigIssue } from '@hearth/torch'
import {
  eachWeight,
  expectSetting,
  groupIssues,
  settingsOf,
  zeroState,
  type Optimizer,
  type ParameterGroup,
} from './optimizer.js'

export interface AdamwSettings {
  /** Decay of the first and second moment. @default [0.9, 0.95] */
  betas?: readonly [number, number]
  /** Added to the root of the second moment. @default 1e-8 */
  eps?: number
  /** Decoupled: a share of the weight, times the learning rate, per step. @default 0.1 */
  weightDecay?: number
  groups?: readonly ParameterGroup[]
}

/**
 * AdamW, after Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), with PyTorch's arithmetic:
 * m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², w ← w - ηλw - η m̂ / (√v̂ + ε), where m̂ = m / (1-β₁ᵗ), v̂ = v / (1-β₂ᵗ) and
 * t = step + 1. State: `m.<path>`, `v.<path>`.
 * @throws ConfigError listing every setting that is out of range
 * @example
 * const optimizer = adamw({ weightDecay: 0.1 })
 * const state = optimizer.init(weights)
 * optimizer.update({ weights, gradients, state, step, learningRate: schedule(step) })
 */
export function adamw(settings: AdamwSettings = {}): Optimizer {
  const issues = adamwIssues(settings)
  if (issues.length > 0) throw new ConfigError('AdamW', issues)
  const { betas = [0.9, 0.95], eps = 1e-8, weightDecay = 0.1, groups = [] } = settings
  return {
    init: (weights) => zeroState(weights, ['m', 'v']),
    update: (options) => {
      const { step, learningRate, gradientScale = 1 } = options
      eachWeight(options, ['m', 'v'], ({ path, weight, gradient, state: [m, v], into }) => {
        const own = settingsOf(path, weight, groups, weightDecay)
        const rate = learningRate * own.learningRateScale
        const numbers = [rate, ...betas, eps, own.weightDecay, step + 1, gradientScale]
        if (into === undefined) call('hearth::adamw_', weight, gradient, m, v, ...numbers)
        else call('hearth::adamw_to', into.weight, ...into.state, weight, gradient, m, v, ...numbers)
      })
    },
  }
}

/** What is wrong with the settings, for configurations that report everything at once. */
export function adamwIssues(settings: AdamwSettings): ConfigIssue[] {
  const { betas = [0.9, 0.95], eps = 1e-8, weightDecay = 0.1, groups = [] } = settings
  const fraction = (x: number) => x >= 0 && x < 1
  return [
    ...expectSetting('betas.0', betas[0], 'a number from 0 to below 1', fraction),
    ...expectSetting('betas.1', betas[1], 'a number from 0 to below 1', fraction),
    ...expectSetting('eps', eps, 'a number above 0', (x) => x > 0),
    ...expectSetting('weightDecay', weightDecay, 'a number from 0', (x) => x >= 0),
    ...groupIssues(groups),
  ]
}
