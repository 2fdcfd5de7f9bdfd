// What every optimizer promises to the state file: a step that writes elsewhere has the bits of a step in place.
import { expect, test } from 'vitest'
import { Generator, randn, zerosLike, type Tensor } from '@hearth/torch'
import { adamw, muon, sgd, type Optimizer } from './index.js'

const optimizers: Record<string, () => Optimizer> = {
  adamw: () => adamw(),
  'adamw with 8-bit moments': () => adamw({ moments: '8bit' }),
  sgd: () => sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
  'sgd without momentum': () => sgd(),
  muon: () => muon(),
}
const shapes: Record<string, number[]> = {
  'embed.weight': [41, 103],
  'blocks.0.weight': [33, 17],
  'norm.weight': [37],
  scalar: [],
}

type Named = Record<string, Tensor>
const mapNamed = (named: Named, change: (tensor: Tensor) => Tensor): Named =>
  Object.fromEntries(Object.entries(named).map(([path, tensor]) => [path, change(tensor)]))
const values = (named: Named) => Object.fromEntries(Object.entries(named).map(([path, t]) => [path, t.toArray()]))

test.each(Object.keys(optimizers))('%s writes into another bank what it would write in place', (name) => {
  const generator = new Generator(3)
  const random = () =>
    Object.fromEntries(Object.entries(shapes).map(([path, shape]) => [path, randn(shape, { generator })]))
  const optimizer = optimizers[name]!()
  const [weights, gradients] = [random(), random()]
  const state = optimizer.init(weights)
  const common = { gradients, learningRate: 0.01, gradientScale: 0.5 }
  optimizer.update({ ...common, weights, state, step: 0 })
  const before = { weights: values(weights), state: values(state) }

  const into = { weights: mapNamed(weights, zerosLike), state: mapNamed(state, zerosLike) }
  optimizer.update({ ...common, weights, state, step: 1, into })
  expect({ weights: values(weights), state: values(state) }).toEqual(before)

  optimizer.update({ ...common, weights, state, step: 1 })
  expect(values(into.weights)).toEqual(values(weights))
  expect(values(into.state)).toEqual(values(state))
})
