// Gradients: against finite differences, where they accumulate, and what is refused.
import type { Tensor } from '@hearth/torch'
import {
  backward,
  enableGrad,
  grad,
  noGrad,
  ones,
  randn,
  scope,
  tensor,
  TorchError,
  zeros,
  Generator,
} from '@hearth/torch'
import { describe, expect, test } from 'vitest'

const leaf = (values: number[]) => tensor(values, { dtype: 'float64' }).setRequiresGrad(true)

/** d f / d x by central differences. */
function differences(f: (x: Tensor) => Tensor, at: number[]): number[] {
  const step = 1e-6
  const value = (i: number, by: number) =>
    f(
      tensor(
        at.map((x, k) => (k === i ? x + by : x)),
        { dtype: 'float64' },
      ),
    ).item()
  return at.map((_, i) => (value(i, step) - value(i, -step)) / (2 * step))
}

describe('backward()', () => {
  test.each<[string, (x: Tensor) => Tensor]>([
    ['a polynomial', (x) => x.mul(x).mul(x).sub(x.mul(2)).sum()],
    ['transcendental functions', (x) => x.sin().exp().add(x.square().add(1).log()).sum()],
    [
      'a matrix product',
      (x) =>
        x
          .view([2, 3])
          .matmul(x.view([3, 2]))
          .square()
          .sum(),
    ],
    ['softmax', (x) => x.softmax(0).mul(x).sum()],
    ['layer norm', (x) => x.view([2, 3]).layerNorm([3]).pow(3).sum()],
    ['gelu', (x) => x.gelu({ approximate: 'tanh' }).sum()],
    ['views and indexing', (x) => x.view([2, 3]).transpose(0, 1).narrow(0, 1, 2).select(1, 0).square().sum()],
    ['a tensor used twice', (x) => x.mul(x.sum()).sum()],
    ['writes in place on what is not a leaf', (x) => x.mul(2).add_(1).mul_(3).square().sum()],
  ])('agrees with differences for %s', (_, f) => {
    const at = [0.3, -1.2, 0.7, 2.1, -0.4, 1.5]
    const x = leaf(at)
    backward(f(x))
    const expected = differences(f, at)
    x.grad!.toArray().forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6))
  })

  test('adds to .grad until it is cleared', () => {
    const x = leaf([1, 2])
    backward(x.square().sum())
    backward(x.square().sum())
    expect(x.grad!.toArray()).toEqual([4, 8])
    x.grad = undefined
    expect(x.grad).toBeUndefined()
    backward(x.sum())
    expect(x.grad!.toArray()).toEqual([1, 1])
    x.grad = zeros([2], { dtype: 'float64' })
    expect(x.grad.toArray()).toEqual([0, 0])
  })

  test('takes an upstream gradient for what is not a scalar', () => {
    const x = leaf([1, 2])
    backward(x.mul(3), { gradient: tensor([1, 10], { dtype: 'float64' }) })
    expect(x.grad!.toArray()).toEqual([3, 30])
  })

  test('frees the graph, unless it is retained', () => {
    const x = leaf([2])
    const y = x.square().sum()
    backward(y, { retainGraph: true })
    backward(y)
    expect(x.grad!.item()).toBe(8)
    expect(() => backward(y)).toThrow(/backward through the graph a second time/)
  })

  test('works inside a scope, whose end leaves the gradient', () => {
    const x = leaf([3])
    scope(() => backward(x.square().sum()))
    expect(x.grad!.item()).toBe(6)
  })

  test.each<[string, () => unknown, RegExp]>([
    [
      'what is not a scalar',
      () => backward(leaf([1, 2]).mul(2)),
      /grad can be implicitly created only for scalar outputs/,
    ],
    ['what records nothing', () => backward(ones([1])), /does not require grad/],
    [
      'an upstream gradient of another shape',
      () => backward(leaf([1, 2]).mul(2), { gradient: ones([3]) }),
      /expected shape compatible with \[2\]/,
    ],
    ['gradients for integers', () => ones([1], { dtype: 'int64' }).setRequiresGrad(true), /floating/],
    ['a write into a leaf', () => leaf([1]).add_(1), /a leaf Variable that requires grad/],
    [
      'a gradient of another shape',
      () => (leaf([1]).grad = zeros([7])),
      /got float32\[7\] on cpu, expected float64\[1\] on cpu/,
    ],
    [
      'a write into what is needed later',
      () => {
        const x = leaf([1, 2])
        const y = x.exp()
        const loss = y.sum()
        noGrad(() => y.mul_(2))
        backward(loss)
      },
      /modified by an inplace operation/,
    ],
  ])('refuses %s', (_, run, message) => {
    expect(run).toThrow(TorchError)
    expect(run).toThrow(message)
  })
})

describe('grad()', () => {
  test('gives gradients and leaves .grad alone', () => {
    const [x, y] = [leaf([1, 2]), leaf([3, 4])]
    const [dx, dy] = grad([x.mul(y).sum()], [x, y])
    expect([dx!.toArray(), dy!.toArray(), x.grad]).toEqual([[3, 4], [1, 2], undefined])
  })

  test('gives undefined for what is not used', () => {
    expect(grad([leaf([1]).sum()], [leaf([2])])).toEqual([undefined])
  })

  test('can be differentiated again', () => {
    const x = leaf([2])
    const [first] = grad([x.pow(3).sum()], [x], { createGraph: true })
    const [second] = grad([first!.sum()], [x])
    expect([first!.item(), second!.item()]).toEqual([12, 12])
  })

  test('takes several outputs with their upstream gradients', () => {
    const x = leaf([1, 2])
    const [dx] = grad([x.mul(2), x.mul(3)], [x], {
      gradOutputs: [ones([2], { dtype: 'float64' }), tensor([0, 1], { dtype: 'float64' })],
    })
    expect(dx!.toArray()).toEqual([2, 5])
  })
})

describe('recording', () => {
  test('is off in noGrad(), on again in enableGrad(), and back after an error', () => {
    const x = leaf([1])
    expect(noGrad(() => x.mul(2).requiresGrad)).toBe(false)
    expect(noGrad(() => enableGrad(() => x.mul(2).requiresGrad))).toBe(true)
    expect(() =>
      noGrad(() => {
        throw new Error('out')
      }),
    ).toThrow('out')
    expect(x.mul(2).requiresGrad).toBe(true)
  })

  test('allows to write into leaves in noGrad()', () => {
    const x = leaf([1, 2])
    noGrad(() => x.sub_(0.5))
    expect(x.toArray()).toEqual([0.5, 1.5])
    expect(x.requiresGrad).toBe(true)
  })

  test('follows a view of a tensor that only later takes part in a graph', () => {
    const [x, weight] = [zeros([2], { dtype: 'float64' }), leaf([3, 4])]
    const view = x.view([2, 1])
    x.add_(weight)
    backward(view.square().sum())
    expect(weight.grad!.toArray()).toEqual([6, 8])
  })

  test('ends at detach()', () => {
    const x = leaf([1])
    expect(x.mul(2).detach().requiresGrad).toBe(false)
  })

  test('changes no values: the same bits with and without it', () => {
    const x = randn([16, 16], { generator: new Generator(3) })
    const f = (w: Tensor) => x.matmul(w).gelu().layerNorm([16]).softmax(1)
    const w = randn([16, 16], { generator: new Generator(4) })
    const bare = f(w).toArray()
    w.setRequiresGrad(true)
    expect(f(w).toArray()).toEqual(bare)
    expect(noGrad(() => f(w).toArray())).toEqual(bare)
  })
})
