// The operator behind AdamW against float64 arithmetic, and what does not show in recorded references.
import {
  ConfigError,
  CheckpointError,
  DisposedError,
  Generator,
  memoryStats,
  noGrad,
  numThreads,
  randn,
  setNumThreads,
  stack,
  tensor,
  TorchError,
  type Tensor,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { adamw } from './index.js'

const live = () => ({ tensors: memoryStats().liveTensors, bytes: memoryStats().liveBytes })
const generator = new Generator(5)
const random = (shape: number[]) => randn(shape, { generator })
const settings = { betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.3 } as const
const RATE = 0.05

/** Weights that the kernel takes, and weights with gaps between their elements, which it leaves to ATen's operators. */
const FORMS: Record<string, (weight: Tensor) => Tensor> = {
  fused: (weight) => weight,
  reference: (weight) => stack([weight, weight], { dim: -1 }).select(-1, 0),
}

/** Five steps of the published algorithm in float64. */
function oracle(weights: number[], gradients: number[][], scale = 1): number[] {
  const [m, v] = [weights.map(() => 0), weights.map(() => 0)]
  const w = [...weights]
  const [beta1, beta2] = settings.betas
  gradients.forEach((gradient, step) => {
    gradient.forEach((raw, i) => {
      const g = raw * scale
      m[i] = beta1 * m[i]! + (1 - beta1) * g
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g
      const mHat = m[i] / (1 - beta1 ** (step + 1))
      const vHat = v[i] / (1 - beta2 ** (step + 1))
      w[i] = w[i]! - RATE * settings.weightDecay * w[i]! - (RATE * mHat) / (Math.sqrt(vHat) + settings.eps)
    })
  })
  return w
}

function train(weight: Tensor, gradients: Tensor[], gradientScale = 1): Record<string, Tensor> {
  const optimizer = adamw(settings)
  const weights = { weight }
  const state = optimizer.init(weights)
  gradients.forEach((gradient, step) =>
    optimizer.update({ weights, gradients: { weight: gradient }, state, step, learningRate: RATE, gradientScale }),
  )
  return state
}

const largestError = (got: number[], expected: number[]) =>
  got.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i]!) / (Math.abs(expected[i]!) + 0.1)), 0)

describe.each(Object.entries(FORMS))('the %s form', (_, formed) => {
  // 37 elements: a tail that fills no vector; 70,001: more than one thread's share.
  test.each([37, 70_001])('follows the published algorithm on %i elements', (size) => {
    const weight = formed(random([1, size]))
    const start = weight.toArray()
    const gradients = Array.from({ length: 5 }, () => random([1, size]))
    train(weight, gradients)
    const expected = oracle(
      start,
      gradients.map((gradient) => gradient.toArray()),
    )
    expect(largestError(weight.toArray(), expected)).toBeLessThan(2e-6)
  })

  test('scales the gradient on the way', () => {
    const weight = formed(random([3, 5]))
    const start = weight.toArray()
    const gradients = Array.from({ length: 3 }, () => random([3, 5]))
    const before = gradients.map((gradient) => gradient.toArray())
    train(weight, gradients, 0.01)
    expect(largestError(weight.toArray(), oracle(start, before, 0.01))).toBeLessThan(2e-6)
    expect(gradients.map((gradient) => gradient.toArray())).toEqual(before)
  })

  test('takes transposed and bfloat16 gradients and transposed weights', () => {
    const gradient = random([5, 3]).to('bfloat16')
    const exact = gradient.transpose(0, 1).contiguous().to('float32')
    const [weight, plain] = [formed(random([5, 3]).transpose(0, 1)), formed(random([3, 5]))]
    plain.copy_(weight)
    train(weight, [gradient.transpose(0, 1)])
    train(plain, [exact])
    expect(largestError(weight.toArray(), plain.toArray())).toBeLessThan(1e-6)
  })
})

// With HEARTH_KERNELS=reference both are the same form, and nothing is left to differ.
test.skipIf(process.env.HEARTH_KERNELS === 'reference')(
  'the two forms are one algorithm in different roundings',
  () => {
    const [weight, gradient] = [random([200, 300]), random([200, 300])]
    const other = FORMS.reference!(weight)
    train(weight, [gradient])
    train(other, [gradient])
    const difference = weight.sub(other).abs().max().item()
    expect(difference).toBeGreaterThan(0)
    expect(difference).toBeLessThan(1e-6)
  },
)

test('the bits do not depend on the number of threads', () => {
  const before = numThreads()
  const [weight, gradients] = [random([333, 301]), Array.from({ length: 3 }, () => random([333, 301]))]
  const results = [1, 2, 3].map((threads) => {
    setNumThreads(threads)
    const copy = weight.clone()
    const { 'v.weight': v } = train(copy, gradients)
    return Buffer.concat([copy, v!].map((one) => Buffer.from(one.data().buffer.slice(0))))
  })
  setNumThreads(before)
  expect(results[1]!.equals(results[0]!)).toBe(true)
  expect(results[2]!.equals(results[0]!)).toBe(true)
})

test('weights that require gradients are updated in place and record nothing', () => {
  const weight = tensor([[1, 2]]).setRequiresGrad(true)
  train(weight, [tensor([[1, -1]])])
  expect(weight.requiresGrad).toBe(true)
  expect(weight.toArray()[0]).toBeLessThan(1)
  noGrad(() => weight.zero_())
})

test('weight decay falls on tensors of two or more dimensions, unless a group says otherwise', () => {
  const weights = () => ({ 'a.weight': tensor([[1]]), 'a.bias': tensor([1]), 'b.bias': tensor([1]) })
  const run = (groups: Parameters<typeof adamw>[0]) => {
    const [optimizer, own] = [adamw({ weightDecay: 0.5, ...groups }), weights()]
    const gradients = { 'a.weight': tensor([[0]]), 'a.bias': tensor([0]), 'b.bias': tensor([0]) }
    optimizer.update({ weights: own, gradients, state: optimizer.init(own), step: 0, learningRate: 0.1 })
    return Object.values(own).map((weight) => weight.item())
  }
  expect(run({})).toEqual([Math.fround(0.95), 1, 1])
  expect(run({ groups: [{ match: /^b\./g, weightDecay: 1 }] })).toEqual([Math.fround(0.95), 1, Math.fround(0.9)])
  const large = { match: (_: string, weight: Tensor) => weight.shape.length === 2, learningRateScale: 0 }
  expect(run({ groups: [large] })).toEqual([1, 1, 1])
})

test('a weight without a gradient is left alone', () => {
  const weights = { used: tensor([[1]]), idle: tensor([[1]]) }
  const optimizer = adamw()
  optimizer.update({
    weights,
    gradients: { used: tensor([[1]]) },
    state: optimizer.init(weights),
    step: 0,
    learningRate: 1,
  })
  expect(weights.idle.item()).toBe(1)
  expect(weights.used.item()).not.toBe(1)
})

describe('mistakes', () => {
  const weights = { weight: tensor([[1, 2]]) }
  const gradients = { weight: tensor([[1, 1]]) }
  const optimizer = adamw()

  test('in the settings are reported all at once', () => {
    const wrong = {
      betas: [1, -0.1],
      eps: Number.NaN,
      weightDecay: -1,
      groups: [{ match: /x/, learningRateScale: -2 }],
    }
    const attempt = () => adamw(wrong as unknown as Parameters<typeof adamw>[0])
    expect(attempt).toThrow(ConfigError)
    expect(attempt).toThrow(/betas\.0(.|\n)*betas\.1(.|\n)*eps(.|\n)*weightDecay(.|\n)*groups\.0\.learningRateScale/)
  })

  test.each([Number.NaN, -1, Number.POSITIVE_INFINITY])('a learning rate of %d changes nothing', (learningRate) => {
    const state = optimizer.init(weights)
    expect(() => optimizer.update({ weights, gradients, state, step: 0, learningRate })).toThrow(ConfigError)
    expect(weights.weight.toArray()).toEqual([1, 2])
  })

  test('a state of other weights is refused before anything changes', () => {
    const state = optimizer.init({ other: tensor([1]) })
    expect(() => optimizer.update({ weights, gradients, state, step: 0, learningRate: 1 })).toThrow(CheckpointError)
    expect(weights.weight.toArray()).toEqual([1, 2])
  })

  test('shapes that differ and disposed tensors are clear errors', () => {
    const state = optimizer.init(weights)
    const update = (gradient: Tensor) =>
      optimizer.update({ weights, gradients: { weight: gradient }, state, step: 0, learningRate: 1 })
    expect(() => update(tensor([[1, 2, 3]]))).toThrow(TorchError)
    const gone = tensor([[1, 2]])
    gone.dispose()
    expect(() => update(gone)).toThrow(DisposedError)
    expect(weights.weight.toArray()).toEqual([1, 2])
  })
})

test.each(Object.entries(FORMS))('a step leaves no tensors behind (%s)', (_, formed) => {
  const [weights, gradients] = [{ weight: formed(random([8, 8])) }, { weight: random([8, 8]) }]
  const optimizer = adamw()
  const state = optimizer.init(weights)
  const before = live()
  for (let step = 0; step < 50; step++) optimizer.update({ weights, gradients, state, step, learningRate: 0.1 })
  expect(live()).toEqual(before)
})
