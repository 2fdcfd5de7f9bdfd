// Ten steps of every optimizer, clipping and schedules against what PyTorch recorded in fixtures/optimizers.*
import { readFileSync } from 'node:fs'
import { readSafetensors, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { adamw, clipGradients, muon, schedule, sgd, type Optimizer, type ScheduleSettings } from './index.js'

const fixture = (name: string) => new URL(`../../../../fixtures/${name}`, import.meta.url).pathname
const file = readSafetensors(fixture('optimizers.safetensors'))
interface Details {
  clipping: Record<string, { maxNorm: number; norm: number }>
  schedules: Record<string, { schedule: string; values: number[] } & Record<string, unknown>>
}
const details = JSON.parse(readFileSync(fixture('optimizers.json'), 'utf8')) as Details
const paths = ['tall', 'wide', 'square', 'bias']
const recorded = (prefix: string, names = paths): Record<string, Tensor> =>
  Object.fromEntries(names.map((name) => [name, file.tensor(`${prefix}.${name}`).clone()]))

/** ‖a - b‖ / ‖b‖ */
function distance(a: Tensor, b: Tensor): number {
  const [x, y] = [a.toArray(), b.toArray()]
  const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  return norm(x.map((value, i) => value - y[i]!)) / norm(y)
}

const float32 = { dtype: 'float32', isMatrix: () => true } as const
const cases: Record<string, { optimizer: Optimizer; learningRate: number; state: Record<string, string> }> = {
  adamw: {
    optimizer: adamw({ groups: [{ match: /square|bias/, learningRateScale: 0.3, weightDecay: 0 }] }),
    learningRate: 0.01,
    state: { m: 'exp_avg', v: 'exp_avg_sq' },
  },
  sgd: { optimizer: sgd(), learningRate: 0.05, state: {} },
  sgd_momentum: { optimizer: sgd({ momentum: 0.9 }), learningRate: 0.05, state: { momentum: 'momentum_buffer' } },
  sgd_nesterov: {
    optimizer: sgd({ momentum: 0.9, nesterov: true }),
    learningRate: 0.05,
    state: { momentum: 'momentum_buffer' },
  },
  sgd_weight_decay: {
    optimizer: sgd({ momentum: 0.9, groups: [{ match: () => true, weightDecay: 0.1 }] }),
    learningRate: 0.05,
    state: { momentum: 'momentum_buffer' },
  },
  muon: {
    optimizer: muon({ ...float32, weightDecay: 0 }),
    learningRate: 0.02,
    state: { momentum: 'momentum_buffer' },
  },
  muon_weight_decay: {
    optimizer: muon({ ...float32, weightDecay: 0.1 }),
    learningRate: 0.02,
    state: { momentum: 'momentum_buffer' },
  },
}

describe.each(Object.entries(cases))('%s', (name, { optimizer, learningRate, state: buffers }) => {
  const names = name.startsWith('muon') ? ['tall', 'wide', 'square'] : paths

  test('takes the recorded ten steps', () => {
    const weights = recorded('initial', names)
    const state = optimizer.init(weights)
    for (let step = 0; step < 10; step++) {
      optimizer.update({ weights, gradients: recorded(`gradient.${step + 1}`, names), state, step, learningRate })
      const expected = recorded(`${name}.weights.${step + 1}`, names)
      for (const path of names)
        expect(distance(weights[path]!, expected[path]!), `${path}, step ${step}`).toBeLessThan(1e-6)
    }
    expect(Object.keys(state)).toHaveLength(names.length * Object.keys(buffers).length)
    for (const [ours, theirs] of Object.entries(buffers)) {
      const expected = recorded(`${name}.state.${theirs}`, names)
      for (const path of names) expect(distance(state[`${ours}.${path}`]!, expected[path]!), path).toBeLessThan(1e-6)
    }
  })
})

test.each(['clip', 'clip_idle'])('%s scales the gradients as recorded', (name) => {
  const gradients = recorded('gradient.1')
  const { maxNorm, norm } = details.clipping[name]!
  expect(clipGradients(gradients, maxNorm)).toBeCloseTo(norm, 5)
  const expected = recorded(`${name}.gradient`)
  for (const path of paths) expect(distance(gradients[path]!, expected[path]!)).toBeLessThan(1e-6)
})

test.each(Object.keys(details.schedules))('schedule %s gives the recorded rates, also past its end', (name) => {
  const { schedule: kind, values, ...settings } = details.schedules[name]!
  const ours = schedule({ ...settings, kind: kind === 'warmup-stable-decay' ? 'wsd' : kind } as ScheduleSettings)
  values.forEach((value, step) => expect(ours(step)).toBeCloseTo(value, 15))
})
