// What the recorded steps of SGD (recorded.test.ts) do not cover.
import { ConfigError, memoryStats, tensor } from '@hearth/torch'
import { expect, test } from 'vitest'
import { sgd } from './index.js'

const live = () => ({ tensors: memoryStats().liveTensors, bytes: memoryStats().liveBytes })

test('without momentum it has no state', () => {
  expect(sgd().init({ w: tensor([1]) })).toEqual({})
})

test('the gradient is used as scaled, and not changed', () => {
  const [weights, gradients] = [{ w: tensor([1, 1]) }, { w: tensor([8, -8]) }]
  for (const momentum of [0, 0.5]) {
    const optimizer = sgd({ momentum, nesterov: momentum > 0 })
    const state = optimizer.init(weights)
    optimizer.update({ weights, gradients, state, step: 0, learningRate: 0.5, gradientScale: 0.25 })
  }
  // First 1 - 0.5·2 = 0; then d = 2, b = 2, direction 2 + 0.5·2 = 3: 0 - 1.5.
  expect(weights.w.toArray()).toEqual([-1.5, 3.5])
  expect(gradients.w.toArray()).toEqual([8, -8])
})

test('a step leaves no tensors behind', () => {
  const [weights, gradients] = [{ w: tensor([[1, 1]]) }, { w: tensor([[1, 1]]) }]
  const optimizer = sgd({ momentum: 0.9, weightDecay: 0.1, nesterov: true })
  const state = optimizer.init(weights)
  const before = live()
  for (let step = 0; step < 20; step++) optimizer.update({ weights, gradients, state, step, learningRate: 0.1 })
  expect(live()).toEqual(before)
})

test('reports every wrong setting at once', () => {
  const attempt = () => sgd({ nesterov: true, weightDecay: -1 })
  expect(attempt).toThrow(ConfigError)
  expect(attempt).toThrow(/nesterov(.|\n)*weightDecay/)
})
