// Grouping tokens by expert must change what is computed for nobody, and nothing for experts that nobody visits.
import { backward, Generator, memoryStats, randn, scope, tensor, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { relativeDistance } from '../../test/recorded.js'
import { groupedGatedLinear, linear, type Expert } from './index.js'
import { gated } from './activation.js'

const [N, D, F] = [7, 6, 5]
const generator = new Generator(4)
const random = (...shape: number[]) => randn(shape, { generator }).setRequiresGrad(true)
const expert = (): Expert => ({
  gate: { weight: random(F, D) },
  up: { weight: random(F, D) },
  down: { weight: random(D, F) },
})
const experts = Array.from({ length: 4 }, expert)
const x = random(N, D)
// Nobody visits expert 3, one token expert 2; the order within a token is no order of experts.
const routes = [
  [0, 1],
  [1, 0],
  [0, 1],
  [2, 0],
  [1, 0],
  [0, 1],
  [1, 0],
]
const chosen = tensor(routes, { dtype: 'int64' }) // (N, k)
const shares = random(N, 2)
const leaves = [x, shares, ...experts.flatMap(({ gate, up, down }) => [gate.weight, up.weight, down.weight])]

/** Token by token. */
function oneByOne(): Tensor {
  const rows = routes.map((visited, token) => {
    const row = x.narrow(0, token, 1)
    const parts = visited.map((index, k) => {
      const { gate, up, down } = experts[index]!
      const out = linear(down, gated('silu', linear(gate, row), linear(up, row)))
      return out.mul(shares.select(0, token).select(0, k))
    })
    return parts[0]!.add(parts[1]!)
  })
  return rows.reduce((sum, row, token) => sum.add(row.mul(oneHot(token))), tensor([[0]]))
}
const oneHot = (token: number) => tensor(Array.from({ length: N }, (_, row) => [row === token ? 1 : 0])) // (N, 1)

function withGradients(run: () => Tensor): (Tensor | undefined)[] {
  for (const leaf of leaves) leaf.grad = undefined
  const out = run()
  backward(out.square().sum())
  return [out.detach(), ...leaves.map((leaf) => leaf.grad)]
}

describe('a mixture of experts', () => {
  test('gives what visiting the experts token by token gives, and its gradients', () => {
    const grouped = withGradients(() => groupedGatedLinear(experts, 'silu', x, { chosen, shares }))
    const expected = withGradients(oneByOne)
    for (const [index, value] of expected.entries())
      if (value !== undefined) expect(relativeDistance(grouped[index]!, value), `${index}`).toBeLessThan(1e-5)
  })

  test('runs no expert that nobody visits', () => {
    const unusable = { gate: { weight: tensor([[1]]) }, up: { weight: tensor([[1]]) }, down: { weight: tensor([[1]]) } }
    const others = [...experts.slice(0, 3), unusable]
    const out = groupedGatedLinear(others, 'silu', x, { chosen, shares })
    expect(out.toArray()).toEqual(groupedGatedLinear(experts, 'silu', x, { chosen, shares }).toArray())
    withGradients(() => groupedGatedLinear(experts, 'silu', x, { chosen, shares }))
    expect(experts[3]!.gate.weight.grad).toBeUndefined()
  })

  test('leaves nothing behind but its result', () => {
    scope(() => {
      const before = memoryStats().liveTensors
      groupedGatedLinear(experts, 'silu', x.detach(), { chosen, shares: shares.detach() })
      expect(memoryStats().liveTensors).toBeLessThanOrEqual(before + 3) // two detached views, one result
    })
  })
})
