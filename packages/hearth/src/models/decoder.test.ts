// What every family's forward pass promises around its maths: clear errors, the last position alone, the hook around
// blocks, and memory.
import { backward, grad, HearthError, memoryStats, noGrad, ones, scope, tensor, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { relativeDistance } from '../../test/recorded.js'
import { dropout } from '../nn/index.js'
import { leavesOf } from '../tree/index.js'
import { createModel, families, keyValueCacheOf, logits } from './index.js'

const SIZES = {
  vocab_size: 20,
  n_embd: 16,
  n_layer: 3,
  n_head: 2,
  n_positions: 8,
  hidden_size: 16,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  intermediate_size: 24,
  max_position_embeddings: 8,
  num_layers: 3,
  num_heads: 2,
  head_dim: 8,
  rotary_dim: 4,
  num_key_value_heads: 2,
  num_local_experts: 3,
  attention_types: [
    [['global', 'local'], 1],
    [['global'], 1],
  ],
  window_size: 3,
  embd_pdrop: 0,
  attn_pdrop: 0,
  resid_pdrop: 0,
}
const ids = (count: number, rows = 1) =>
  tensor(
    Array.from({ length: rows }, (_, row) => Array.from({ length: count }, (_, i) => (7 * i + row) % 20)),
    { dtype: 'int64' },
  )

describe.each(Object.keys(families))('%s', (type) => {
  const model = createModel({ model_type: type, ...SIZES }, { seed: 5 })

  test('gives logits (B, T, V), and those of the last position alone', () => {
    const whole = logits(model, ids(5, 2))
    expect(whole.shape).toEqual([2, 5, 20])
    const last = logits(model, ids(5, 2), { lastOnly: true })
    expect(last.shape).toEqual([2, 1, 20])
    expect(relativeDistance(last, whole.narrow(1, 4, 1))).toBeLessThan(1e-6)
  })

  test('reads as much as its context and refuses more', () => {
    expect(logits(model, ids(8)).shape).toEqual([1, 8, 20])
    expect(() => logits(model, ids(9))).toThrow(/the text has 9 tokens, the model reads at most 8/)
    using cache = keyValueCacheOf(model, { capacity: 100 })
    logits(model, ids(6), { cache })
    expect(() => logits(model, ids(3), { cache })).toThrow(/9 tokens \(6 in the cache and 3 new\)/)
    expect(cache.length).toBe(6)
  })

  test('refuses ids that are no batch of token numbers', () => {
    for (const wrong of [tensor([1, 2]), tensor([[1, 2]]), tensor([[]], { dtype: 'int64', shape: [1, 0] })])
      expect(() => logits(model, wrong)).toThrow(/token ids must be int64 of shape \(batch, tokens\)/)
    expect(() => logits(model, tensor([[20]], { dtype: 'int64' }))).toThrow(HearthError)
  })

  test('refuses a cache that does not fit, before anything is written', () => {
    using cache = keyValueCacheOf(model, { batch: 2, capacity: 4 })
    expect(() => logits(model, ids(2), { cache })).toThrow(/cache is for a batch of 2, got ids of a batch of 1/)
    expect(() => logits(model, ids(5, 2), { cache })).toThrow(/room for 4 of 4 tokens, got 5/)
    expect(cache.length).toBe(0)
  })

  test('records nothing for autograd when it reads through a cache', () => {
    const trained = createModel({ model_type: type, ...SIZES }, { seed: 5 })
    for (const leaf of leavesOf(trained.weights)) leaf.setRequiresGrad(true)
    using cache = keyValueCacheOf(trained)
    expect(logits(trained, ids(3), { cache }).requiresGrad).toBe(false)
    expect(logits(trained, ids(3)).requiresGrad).toBe(true)
  })

  test('gives every block to the hook, in order, and the blocks can run again later', () => {
    const trained = createModel({ model_type: type, ...SIZES }, { seed: 5 })
    const leaves = leavesOf(trained.weights)
    for (const leaf of leaves) leaf.setRequiresGrad(true)
    const expected = grad([logits(trained, ids(5)).square().sum()], leaves)

    const seen: { block: (x: Tensor) => Tensor; input: Tensor; output: Tensor }[] = []
    scope(() => {
      const output = logits(trained, ids(5), {
        runBlock: (block, input) => {
          const made = noGrad(() => block(input))
            .detach()
            .setRequiresGrad(true)
          seen.push({ block, input, output: made })
          return made
        },
      })
      expect(seen).toHaveLength(3)
      backward(output.square().sum())
      for (const { block, input, output: made } of seen.reverse()) {
        const again = input.detach().setRequiresGrad(true)
        backward(block(again), { gradient: made.grad! })
        backward(input, { gradient: again.grad! })
      }
    })
    for (const [index, leaf] of leaves.entries())
      expect(relativeDistance(leaf.grad!, expected[index]!)).toBeLessThan(1e-6)
  })

  test('leaves nothing behind but its result', () => {
    const text = ids(8)
    logits(model, text).dispose() // tables are made once and stay
    const before = memoryStats().liveTensors
    const output = noGrad(() => logits(model, text))
    expect(memoryStats().liveTensors).toBe(before + 1)
    output.dispose()
  })

  test('reads packed documents as it reads each alone', () => {
    const text = ids(8)
    const documents = tensor([[4, 4, 4, 9, 9, 4, 4, 4]], { dtype: 'int64' }) // three, of 3, 2 and 3 tokens
    const packed = logits(model, text, { documents })
    for (const [start, count] of [
      [0, 3],
      [3, 2],
      [5, 3],
    ] as const) {
      const alone = logits(model, text.narrow(1, start, count))
      expect(relativeDistance(packed.narrow(1, start, count), alone), `from ${start}`).toBeLessThan(1e-5)
    }
    using cache = keyValueCacheOf(model)
    expect(() => logits(model, text, { documents, cache })).toThrow(/do not go with a key\/value cache/)
    expect(() => logits(model, ids(4), { documents })).toThrow(/documents must be numbers of shape \[1, 4\]/)
  })

  test('goes on from a cache as the whole text says, token by token', () => {
    using cache = keyValueCacheOf(model)
    for (let length = 1; length <= 8; length++) {
      const next = logits(model, ids(8).narrow(1, length - 1, 1), { cache })
      expect(relativeDistance(next, logits(model, ids(length), { lastOnly: true })), `${length}`).toBeLessThan(1e-5)
    }
  })
})

describe('dropout in training', () => {
  const RATES = {
    gpt2: { attn_pdrop: 0.3, embd_pdrop: 0.2, resid_pdrop: 0.4 },
    gpt3: { attn_pdrop: 0.3, embd_pdrop: 0.2, resid_pdrop: 0.4 },
    gptj: { attn_pdrop: 0.3, embd_pdrop: 0.2, resid_pdrop: 0.4 },
    gpt_neo: { attention_dropout: 0.3, embed_dropout: 0.2, resid_dropout: 0.4 },
    gpt_neox: { attention_dropout: 0.3, hidden_dropout: 0.4 },
    stablelm: { attention_dropout: 0.3, hidden_dropout: 0.4 },
    llama: { attention_dropout: 0.3 },
    mistral: { attention_dropout: 0.3 },
    mixtral: { attention_dropout: 0.3 },
    qwen2: { attention_dropout: 0.3 },
    qwen3: { attention_dropout: 0.3 },
  }

  test.each(Object.entries(RATES))(
    '%s: a function of the seed, each rate felt, none outside of training',
    (type, rates) => {
      const modelOf = (own: object) => createModel({ model_type: type, ...SIZES, ...own }, { seed: 5 })
      const forgetful = modelOf(rates)
      const text = ids(8, 2)
      const plain = logits(modelOf({}), text)
      const values = (seed?: number) =>
        logits(forgetful, text, seed === undefined ? {} : { dropoutSeed: seed }).toArray()
      expect(values()).toEqual(plain.toArray())
      expect(values(1)).toEqual(values(1))
      expect(values(1)).not.toEqual(values(2))
      for (const [key, rate] of Object.entries(rates)) {
        const one = logits(modelOf({ [key]: rate }), text, { dropoutSeed: 1 })
        expect(relativeDistance(one, plain), key).toBeGreaterThan(1e-4)
      }
    },
  )

  test('keeps the mean and forgets the share that is asked for', () => {
    const x = dropout(ones([200, 100]), { rate: 0.25, seed: 7 })
    expect(Math.abs(x.mean().item() - 1)).toBeLessThan(0.02)
    expect(Math.abs(x.eq(0).to('float32').mean().item() - 0.25)).toBeLessThan(0.01)
    expect(x.max().item()).toBeCloseTo(4 / 3, 6)
  })
})
