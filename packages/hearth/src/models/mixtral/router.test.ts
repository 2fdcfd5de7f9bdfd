// The router's choice, and the loss that keeps experts equally busy.
import { backward, grad, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { balanceLoss, carryLoss, route, type Routes } from './router.js'

const routesOf = (probabilities: number[][], chosen: number[][]): Routes => ({
  probabilities: tensor(probabilities).setRequiresGrad(true),
  chosen: tensor(chosen, { dtype: 'int64' }),
  shares: tensor(chosen),
})

describe('a router', () => {
  test('takes the experts with the largest scores; their shares add up to 1', () => {
    const router = { weight: tensor([[0], [2], [1], [-1]]) }
    const { chosen, shares, probabilities } = route(router, tensor([[1], [-1]]), 2)
    expect(chosen.toNested()).toEqual(
      [
        [1n, 2n],
        [3n, 0n],
      ].map((row) => row.map(Number)),
    )
    const first = 1 / (1 + Math.exp(-1))
    shares.toArray().forEach((share, i) => expect(share).toBeCloseTo(i % 2 === 0 ? first : 1 - first, 6))
    expect(
      probabilities
        .sum([1])
        .toArray()
        .every((sum) => Math.abs(sum - 1) < 1e-6),
    ).toBe(true)
  })
})

describe('the balance loss', () => {
  test('is the experts a token when all are equally busy, and grows where one is busier', () => {
    const even = [
      [0.5, 0.5],
      [0.5, 0.5],
    ]
    expect(balanceLoss(routesOf(even, [[0], [1]])).item()).toBeCloseTo(1, 6)
    expect(
      balanceLoss(
        routesOf(even, [
          [0, 1],
          [1, 0],
        ]),
      ).item(),
    ).toBeCloseTo(2, 6)
    const skewed = routesOf(
      [
        [0.9, 0.1],
        [0.7, 0.3],
      ],
      [[0], [0]],
    )
    expect(balanceLoss(skewed).item()).toBeCloseTo(2 * 0.8, 6)
    // Only the probability of the busy expert is pushed down: X · f / N.
    const [gradient] = grad([balanceLoss(skewed)], [skewed.probabilities])
    expect(gradient!.toArray()).toEqual([1, 0, 1, 0])
  })

  test('travels with a tensor: the tensor is the same, and the loss has the gradient 1', () => {
    const x = tensor([1, 2]).setRequiresGrad(true)
    const y = tensor([3]).setRequiresGrad(true)
    const carried = carryLoss(x, y.square().sum())
    expect(carried.toArray()).toEqual([1, 2])
    backward(carried.mul(tensor([5, 7])).sum())
    expect(x.grad!.toArray()).toEqual([5, 7])
    expect(y.grad!.toArray()).toEqual([6])
    expect(() => carryLoss(x, tensor([1, 2]))).toThrow(/the loss must be one floating-point number/)
  })
})
