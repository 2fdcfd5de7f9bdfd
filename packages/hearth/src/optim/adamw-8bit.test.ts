// AdamW with 8-bit moments: the codes against their published definition in float64, a step against float64 arithmetic on
// decoded moments, and what training loses by them.
import {
  backward,
  call,
  Generator,
  noGrad,
  numThreads,
  randn,
  scope,
  setNumThreads,
  tensor,
  zeros,
  type Tensor,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { linear } from '../nn/index.js'
import { adamw } from './index.js'

const BLOCK = 256
const RATE = 0.05
const settings = { betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.3 } as const
const generator = new Generator(11)
const random = (shape: number[]) => randn(shape, { generator })

/** Values of codes by their definition: a leading 1 after i digits is a decade, what follows it linear from 0.1 to 1. */
function valuesOf(digits: number): number[] {
  const values = [0]
  for (let code = 1; code < 1 << digits; code++) {
    const decade = 31 - Math.clz32(code)
    const place = (code - (1 << decade) + 0.5) / (1 << decade)
    values.push(10 ** (decade + 1 - digits) * (0.1 + 0.9 * place))
  }
  return values.map((value) => value / values.at(-1)!)
}
const SIGNED = valuesOf(7)
const UNSIGNED = valuesOf(8)

interface Moments {
  m: number[]
  v: number[]
}

function decoded(state: Record<string, Tensor>): Moments {
  const codes = (name: string) => state[`${name}.weight`]!.toArray()
  const [mLargest, vLargest] = [codes('mLargest'), codes('vLargest')]
  return {
    m: codes('m').map((code, i) => (code > 127 ? -1 : 1) * SIGNED[code & 127]! * mLargest[Math.floor(i / BLOCK)]!),
    v: codes('v').map((code, i) => UNSIGNED[code]! * vLargest[Math.floor(i / BLOCK)]!),
  }
}

/** One step of the published algorithm in float64, moments not made bytes again. */
function oracle(weights: number[], gradients: number[], { m, v }: Moments, step: number, scale: number) {
  const [beta1, beta2] = settings.betas
  const next = { m: [] as number[], v: [] as number[] }
  const weight = weights.map((w, i) => {
    const g = gradients[i]! * scale
    next.m[i] = beta1 * m[i]! + (1 - beta1) * g
    next.v[i] = beta2 * v[i]! + (1 - beta2) * g * g
    const [mHat, vHat] = [next.m[i] / (1 - beta1 ** (step + 1)), next.v[i] / (1 - beta2 ** (step + 1))]
    return w - RATE * settings.weightDecay * w - (RATE * mHat) / (Math.sqrt(vHat) + settings.eps)
  })
  return { weight, ...next }
}

/** How far each number is from the one it should be, beyond how far the nearest code is: at most rounding, in shares of its block's largest. */
function worstCode(got: number[], exact: number[], values: number[], zero: boolean): number {
  const largest: number[] = []
  exact.forEach((x, i) => (largest[Math.floor(i / BLOCK)] = Math.max(largest[Math.floor(i / BLOCK)] ?? 0, Math.abs(x))))
  const allowed = zero ? values : values.slice(1)
  return exact.reduce((worst, x, i) => {
    const most = largest[Math.floor(i / BLOCK)]!
    if (most === 0) return Math.max(worst, Math.abs(got[i]!))
    const share = Math.abs(x) / most
    const nearest = x === 0 ? 0 : allowed.reduce((least, value) => Math.min(least, Math.abs(value - share)), Infinity)
    return Math.max(worst, Math.abs(got[i]! - x) / most - nearest)
  }, 0)
}

const largestError = (got: number[], expected: number[]) =>
  got.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i]!) / (Math.abs(expected[i]!) + 0.1)), 0)

/** Gradients whose sizes span nine decades, some of them 0: every decade of the codes, and what is below them. */
const spread = (shape: number[]) =>
  scope(() => {
    const wide = random(shape).mul(random(shape).mul(3).sub(4).exp())
    return wide.mul(random(shape).gt(-1.5).to('float32'))
  })

function train(weight: Tensor, gradients: readonly Tensor[]): Record<string, Tensor> {
  const optimizer = adamw({ ...settings, moments: '8bit' })
  const state = optimizer.init({ weight })
  gradients.forEach((gradient, step) =>
    optimizer.update({ weights: { weight }, gradients: { weight: gradient }, state, step, learningRate: RATE }),
  )
  return state
}

// A whole number of blocks; a short block at the end, which fills no vector.
describe.each([[[64, 128]], [[1, 4099]], [[70, 333]]])('a weight of shape %j', (shape) => {
  test('takes steps that are float64 steps on its moments, and keeps the nearest codes of the new ones', () => {
    const optimizer = adamw({ ...settings, moments: '8bit' })
    const weights = { weight: random(shape) }
    const state = optimizer.init(weights)
    for (let step = 0; step < 4; step++) {
      const gradient = spread(shape)
      const want = oracle(weights.weight.toArray(), gradient.toArray(), decoded(state), step, 0.5)
      const gradients = { weight: gradient }
      optimizer.update({ weights, gradients, state, step, learningRate: RATE, gradientScale: 0.5 })
      expect(largestError(weights.weight.toArray(), want.weight)).toBeLessThan(2e-6)
      const got = decoded(state)
      expect(worstCode(got.m, want.m, SIGNED, true)).toBeLessThan(1e-6)
      expect(worstCode(got.v, want.v, UNSIGNED, false)).toBeLessThan(1e-6)
    }
  })
})

test('every code is the code of its own value', () => {
  // With betas of 0 a step makes the gradient the first moment, and its square the second.
  const optimizer = adamw({ betas: [0, 0], moments: '8bit' })
  const weights = { weight: zeros([16, BLOCK]) }
  const state = optimizer.init(weights)
  const values = Float32Array.from({ length: 16 * BLOCK }, (_, i) => (i & 128 ? -1 : 1) * SIGNED[i & 127]!)
  const gradients = { weight: tensor(values, { shape: [16, BLOCK] }) }
  optimizer.update({ weights, gradients, state, step: 0, learningRate: 0 })
  const codes = state['m.weight']!.toArray()
  expect(codes.map((code) => code & 127)).toEqual([...values.keys()].map((i) => i & 127))
  expect(codes.map((code, i) => code > 127 || (i & 127) === 0)).toEqual(
    [...values.keys()].map((i) => (i & 128) > 0 || (i & 127) === 0),
  )
})

test('a second moment above 0 never becomes 0, however small beside the others of its block', () => {
  const gradients = zeros([1, 4096]).add(1e-9)
  noGrad(() => gradients.narrow(1, 0, 1).fill_(1))
  const state = train(zeros([1, 4096]), [gradients])
  expect(state['v.weight']!.toArray().every((code) => code > 0)).toBe(true)
  expect(state['m.weight']!.toArray().slice(1, BLOCK)).toEqual(Array(BLOCK - 1).fill(0))
})

test('numbers too small to divide by become 0, and nothing else does', () => {
  const state = train(zeros([1, 4096]), [zeros([1, 4096]).add(1e-39)])
  for (const name of ['m', 'v', 'mLargest', 'vLargest'])
    expect(new Set(state[`${name}.weight`]!.toArray()), name).toEqual(new Set([0]))
})

test('what is not a number shows in the weight', () => {
  const gradient = random([1, 4096])
  noGrad(() => gradient.narrow(1, 7, 1).fill_(Number.NaN))
  const weight = random([1, 4096])
  train(weight, [gradient])
  expect(weight.toArray()[7]).toBeNaN()
})

test('the bits do not depend on the number of threads', () => {
  const before = numThreads()
  const [start, gradients] = [random([333, 301]), Array.from({ length: 3 }, () => spread([333, 301]))]
  const results = [1, 2, 3].map((threads) => {
    setNumThreads(threads)
    const weight = start.clone()
    const all = [weight, ...Object.values(train(weight, gradients))]
    return Buffer.concat(all.map((one) => Buffer.from(one.data().buffer.slice(0))))
  })
  setNumThreads(before)
  expect(results[1]!.equals(results[0]!)).toBe(true)
  expect(results[2]!.equals(results[0]!)).toBe(true)
})

test('weights with gaps between their elements, and transposed gradients, take the reference form, which agrees', () => {
  const start = random([90, 70])
  const plain = start.clone()
  const spaced = zeros([90, 70, 2]).select(-1, 0)
  noGrad(() => spaced.copy_(start))
  const gradients = Array.from({ length: 3 }, () => random([70, 90]).transpose(0, 1))
  const [one, other] = [train(plain, gradients), train(spaced, gradients)]
  expect(plain.sub(spaced).abs().max().item()).toBeLessThan(1e-2) // a code may be its neighbour at the border between both
  const differing = one['v.weight']!.ne(other['v.weight']!).to('float32').mean().item()
  expect(differing).toBeLessThan(1e-3)
})

test('small tensors keep float32 moments, and the state of large ones is a quarter', () => {
  const optimizer = adamw({ moments: '8bit' })
  const weights = { large: zeros([256, 256]), small: zeros([4095]) }
  const state = optimizer.init(weights)
  const bytes = (suffix: string) =>
    Object.entries(state).reduce((sum, [name, { nbytes }]) => sum + (name.endsWith(suffix) ? nbytes : 0), 0)
  expect(state['m.small']!.dtype).toBe('float32')
  expect(bytes('.small')).toBe(2 * weights.small.nbytes)
  expect(bytes('.large') / (2 * weights.large.nbytes)).toBeLessThan(0.255)
  const widths = Object.values(state).map(({ dtype }) => (dtype === 'float32' ? 4 : 1))
  expect(widths).toEqual([...widths].sort((a, b) => b - a))
})

test('moments of other shapes are refused, and so is another name', () => {
  const [w, codes, largest] = [zeros([8, 32]), zeros([8, 32], { dtype: 'uint8' }), zeros([2])]
  const numbers = [0.1, 0.9, 0.95, 1e-8, 0, 1]
  const state = [codes, codes, largest, largest]
  expect(() => call('hearth::adamw_8bit', w, ...state, w, w, ...state, ...numbers)).toThrow(/float32 \(1\).*\[2\]/s)
  expect(() => adamw({ moments: '4bit' as '8bit' })).toThrow(/moments: must be float32 or 8bit, got 4bit/)
})

test('a small network learns as much with 8-bit moments: the mean of its last losses is within 2 % of that with float32', () => {
  const teacher = random([32, 64])
  const [up, down] = [random([128, 64]).mul(0.1), random([32, 128]).mul(0.1)]
  const lossAfter = (moments: 'float32' | '8bit'): number => {
    // The same new examples for both at every step: what there is to learn, and noise that nobody can.
    const examples = new Generator(3)
    const weights = { up: up.clone().setRequiresGrad(true), down: down.clone().setRequiresGrad(true) }
    const optimizer = adamw({ moments, weightDecay: 0.01 })
    const state = optimizer.init(weights)
    const losses = Array.from({ length: 200 }, (_, step) =>
      scope(() => {
        const inputs = randn([128, 64], { generator: examples })
        const noise = randn([128, 32], { generator: examples }).mul(0.5)
        const targets = linear({ weight: teacher }, inputs).tanh().add(noise)
        const hidden = linear({ weight: weights.up }, inputs, { activation: 'gelu' })
        const loss = linear({ weight: weights.down }, hidden).sub(targets).pow(2).mean()
        backward(loss)
        const gradients = { up: weights.up.grad, down: weights.down.grad }
        optimizer.update({ weights, gradients, state, step, learningRate: 3e-3 })
        for (const weight of Object.values(weights)) weight.grad = undefined
        return loss.item()
      }),
    )
    return losses.slice(-20).reduce((sum, loss) => sum + loss, 0) / 20
  }
  const [float32, bytes] = [lossAfter('float32'), lossAfter('8bit')]
  expect(float32).toBeLessThan(0.7)
  expect(bytes).not.toBe(float32)
  expect(Math.abs(bytes / float32 - 1)).toBeLessThan(0.02)
})
