import { describe, expect, test } from 'vitest'
import { noGrad, tensor } from '@hearth/torch'
import { createModel, logits } from '../models/index.js'
import { leavesOf } from '../tree/index.js'
import { generate } from './generate.js'
import { quantiseModel } from './quantise.js'

const sizes = { vocab_size: 300, bos_token_id: 0, eos_token_id: 0 }
const MODELS = {
  gpt2: { model_type: 'gpt2', n_layer: 2, n_embd: 128, n_head: 4, ...sizes },
  llama: {
    ...{ model_type: 'llama', num_hidden_layers: 2, hidden_size: 128, num_attention_heads: 4 },
    ...{ num_key_value_heads: 2, intermediate_size: 192, ...sizes },
  },
  gpt_neox: {
    ...{ model_type: 'gpt_neox', num_hidden_layers: 2, hidden_size: 128, num_attention_heads: 4 },
    ...{ intermediate_size: 512, ...sizes },
  },
}
const ids = Array.from({ length: 20 }, (_, i) => (i * 37) % 300)

describe.each(Object.entries(MODELS))('%s in integers', (_, config) => {
  test.each([
    [8, 0.02],
    [4, 0.25],
  ] as const)('of %i bits gives logits within %f of the floats', (bits, most) => {
    const input = tensor(ids, { dtype: 'int64', shape: [1, ids.length] })
    const run = (model: ReturnType<typeof createModel>) => noGrad(() => logits(model, input))
    const floats = run(createModel(config, { seed: 3 }))
    const small = quantiseModel(createModel(config, { seed: 3 }), bits)
    const got = run(small)
    const error = got.sub(floats).abs().max().item() / floats.abs().max().item()
    expect(error).toBeGreaterThan(0)
    expect(error).toBeLessThan(most)
  })

  test('takes less memory and writes token after token', async () => {
    const whole = createModel(config, { seed: 3 })
    const before = leavesOf(whole.weights).reduce((sum, { nbytes }) => sum + nbytes, 0)
    const small = quantiseModel(whole, 4)
    expect(leavesOf(small.weights).reduce((sum, { nbytes }) => sum + nbytes, 0)).toBeLessThan(before / 2)
    const written: number[] = []
    for await (const id of generate(small, ids, { maxTokens: 5, temperature: 0, eosId: [] })) written.push(id)
    expect(written).toHaveLength(5)
  })
})
