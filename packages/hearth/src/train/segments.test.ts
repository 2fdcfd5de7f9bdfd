// Activation checkpointing must change memory, never numbers.
import { backward, Generator, randn, scope, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { keepActivations, Segments, type RunBlock } from './segments.js'

const generator = new Generator(3)
const input = randn([4, 8], { generator }).setRequiresGrad(true)
const weights = Array.from({ length: 3 }, () => randn([8, 8], { generator }).setRequiresGrad(true))
const shared = randn([8, 8], { generator }).setRequiresGrad(true)
const leaves = [input, shared, ...weights]

/** An embedding-like part before the blocks, blocks that share one weight, and that weight again in the head. */
function loss(run: RunBlock): Tensor {
  const hidden = weights.reduce(
    (x, weight) => run((h) => h.add(h.matmul(weight).tanh().matmul(shared)), x),
    input.matmul(shared),
  )
  return hidden.matmul(shared).square().mean()
}

function gradients(body: () => void): number[][] {
  leaves.forEach((leaf) => (leaf.grad = undefined))
  scope(body)
  return leaves.map((leaf) => leaf.grad!.toArray())
}

describe('activation checkpointing', () => {
  test('gives the gradients that keeping all activations gives', () => {
    const plain = gradients(() => backward(loss(keepActivations)))
    const recomputed = gradients(() => {
      const segments = new Segments()
      segments.backward(loss(segments.run))
    })
    recomputed.forEach((values, leaf) => values.forEach((value, i) => expect(value).toBeCloseTo(plain[leaf]![i]!, 4)))
  })

  test('gives the same bits when it is done twice', () => {
    const once = () =>
      gradients(() => {
        const segments = new Segments()
        segments.backward(loss(segments.run))
      })
    expect(once()).toEqual(once())
  })
})
