// AdamW: Adam with weight decay kept apart from the gradient. Each tensor is one call of our own operator
// (packages/torch/native/kernels/adamw.cc, adamw-8bit.cc), which passes over memory once; on devices without it, and with
// HEARTH_KERNELS=reference, the same operator is made of ATen's.
import { call, ConfigError, zeros, type ConfigIssue, type Tensor } from '@hearth/torch'
import {
  eachWeight,
  expectSetting,
  groupIssues,
  settingsOf,
  zeroState,
  type Optimizer,
  type OptimizerState,
  type ParameterGroup,
} from './optimizer.js'

export interface AdamwSettings {
  /** Decay of the first and second moment. @default [0.9, 0.95] */
  betas?: readonly [number, number]
  /** Added to the root of the second moment. @default 1e-8 */
  eps?: number
  /** Decoupled: a share of the weight, times the learning rate, per step. @default 0.1 */
  weightDecay?: number
  /**
   * How moments are kept. `8bit`: bytes of dynamic precision in blocks of 256 with the largest magnitude of each, 2 bytes a
   * weight in place of 8; tensors of fewer than 4096 elements stay float32. @default 'float32'
   */
  moments?: Moments
  groups?: readonly ParameterGroup[]
}

export type Moments = 'float32' | '8bit'

/** Elements whose bytes share one scale: the kernel's, packages/torch/native/kernels/adamw.h. */
const MOMENT_BLOCK = 256
/** Norms and biases are a thousandth of a model, and what is lost in them shows most (Dettmers et al., 2021). */
const FEWEST_IN_BYTES = 4096

/** What is kept for a weight, in the order of the operator's arguments. */
const FLOATS = ['m', 'v'] as const
const BYTES = ['m', 'v', 'mLargest', 'vLargest'] as const

/**
 * AdamW, after Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), with PyTorch's arithmetic:
 * m ← β₁m + (1-β₁)g, v ← β₂v + (1-β₂)g², w ← w - ηλw - η m̂ / (√v̂ + ε), where m̂ = m / (1-β₁ᵗ), v̂ = v / (1-β₂ᵗ) and
 * t = step + 1. State: `m.<path>`, `v.<path>`; where they are bytes also `mLargest.<path>`, `vLargest.<path>`, one a block
 * (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2021).
 * @throws ConfigError listing every setting that is out of range
 * @example
 * const optimizer = adamw({ weightDecay: 0.1 })
 * const state = optimizer.init(weights)
 * optimizer.update({ weights, gradients, state, step, learningRate: schedule(step) })
 */
export function adamw(settings: AdamwSettings = {}): Optimizer {
  const issues = adamwIssues(settings)
  if (issues.length > 0) throw new ConfigError('AdamW', issues)
  const { betas = [0.9, 0.95], eps = 1e-8, weightDecay = 0.1, moments = 'float32', groups = [] } = settings
  const inBytes = (weight: Tensor) => moments === '8bit' && weight.numel >= FEWEST_IN_BYTES
  return {
    init: (weights) => initialState(weights, inBytes),
    update: (options) => {
      const { step, learningRate, gradientScale = 1 } = options
      eachWeight(
        options,
        (weight) => (inBytes(weight) ? BYTES : FLOATS),
        (update) => {
          const { path, weight, gradient, state, into } = update
          const own = settingsOf(path, weight, groups, weightDecay)
          const rate = learningRate * own.learningRateScale
          const numbers = [rate, ...betas, eps, own.weightDecay, step + 1, gradientScale]
          const to = into ?? { weight, state }
          if (inBytes(weight))
            call('hearth::adamw_8bit', to.weight, ...to.state, weight, gradient, ...state, ...numbers)
          else if (into === undefined) call('hearth::adamw_', weight, gradient, ...state, ...numbers)
          else call('hearth::adamw_to', to.weight, ...to.state, weight, gradient, ...state, ...numbers)
        },
      )
    },
  }
}

/** Zeros. Bytes come last, so that what is wider lies aligned in a state file. */
function initialState(weights: Readonly<Record<string, Tensor>>, inBytes: (weight: Tensor) => boolean): OptimizerState {
  const select = (bytes: boolean) =>
    Object.fromEntries(Object.entries(weights).filter(([, weight]) => inBytes(weight) === bytes))
  const bytes = Object.entries(select(true))
  const fill = (name: string, make: (weight: Tensor) => Tensor) =>
    Object.fromEntries(bytes.map(([path, weight]) => [`${name}.${path}`, make(weight)]))
  const largest = ({ numel, device }: Tensor) => zeros([Math.ceil(numel / MOMENT_BLOCK)], { dtype: 'float32', device })
  const codes = ({ shape, device }: Tensor) => zeros(shape, { dtype: 'uint8', device })
  return {
    ...zeroState(select(false), FLOATS),
    ...fill('mLargest', largest),
    ...fill('vLargest', largest),
    ...fill('m', codes),
    ...fill('v', codes),
  }
}

/** What is wrong with the settings, for configurations that report everything at once. */
export function adamwIssues(settings: AdamwSettings): ConfigIssue[] {
  const { betas = [0.9, 0.95], eps = 1e-8, weightDecay = 0.1, groups = [] } = settings
  const moments: string = settings.moments ?? 'float32' // of a caller without types it may be anything
  const fraction = (x: number) => x >= 0 && x < 1
  return [
    ...expectSetting('betas.0', betas[0], 'a number from 0 to below 1', fraction),
    ...expectSetting('betas.1', betas[1], 'a number from 0 to below 1', fraction),
    ...expectSetting('eps', eps, 'a number above 0', (x) => x > 0),
    ...expectSetting('weightDecay', weightDecay, 'a number from 0', (x) => x >= 0),
    ...(['float32', '8bit'].includes(moments)
      ? []
      : [{ path: 'moments', message: `must be float32 or 8bit, got ${moments}` }]),
    ...groupIssues(groups),
  ]
}
