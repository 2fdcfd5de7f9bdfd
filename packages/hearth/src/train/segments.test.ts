// Activation checkpointing must change memory, never numbers.
import { backward, Generator, grad, randn, scope, tensor, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { relativeDistance } from '../../test/recorded.js'
import { createModel, logits } from '../models/index.js'
import { leavesOf } from '../tree/index.js'
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

  // Masks of dropout and the loss of a router's balance belong to blocks, which run twice.
  test.each([
    ['gpt2', { resid_pdrop: 0.3, attn_pdrop: 0.3 }],
    ['mixtral', { num_local_experts: 3, router_aux_loss_coef: 2 }],
  ])('gives %s the gradients that it has without', (model_type, own) => {
    const sizes = { n_embd: 16, n_layer: 2, n_head: 2, hidden_size: 16, num_hidden_layers: 2, intermediate_size: 8 }
    const heads = { num_attention_heads: 2, num_key_value_heads: 2 }
    const model = createModel({ model_type, vocab_size: 20, ...sizes, ...heads, ...own }, { seed: 5 })
    const weights = leavesOf(model.weights)
    for (const leaf of weights) leaf.setRequiresGrad(true)
    const ids = tensor([[7, 3, 19, 4, 0]], { dtype: 'int64' })
    const lossBy = (run: RunBlock) => logits(model, ids, { dropoutSeed: 3, runBlock: run }).square().sum()
    const expected = grad([lossBy(keepActivations)], weights)
    const segments = new Segments()
    segments.backward(lossBy(segments.run))
    for (const [index, leaf] of weights.entries())
      expect(relativeDistance(leaf.grad!, expected[index]!)).toBeLessThan(1e-6)
  })
})
