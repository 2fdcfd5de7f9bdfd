// Weights from named tensors: everything that does not fit is listed at once.
import { FormatError, Generator, randn, type DType, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { flattenTree } from '../tree/index.js'
import { configure, createModel, fileName, gpt2, llama, loadWeights, type StoredTensor } from './index.js'

const SIZES = { n_layer: 1, n_embd: 8, n_head: 2, n_positions: 4, vocab_size: 10 }
const config = gpt2.parseConfig(SIZES)
const model = createModel({ model_type: 'gpt2', ...SIZES }, { seed: 1 })

const entry = (tensor: Tensor, file = 'model.safetensors'): StoredTensor => ({
  shape: tensor.shape,
  dtype: tensor.dtype,
  file,
  read: () => tensor,
})

/** The model as a file would hold it. */
function stored(dtype: DType = 'float32'): Map<string, StoredTensor> {
  return new Map(
    Object.entries(flattenTree(model.weights)).map(([path, leaf]) => {
      const { name, transpose } = fileName(gpt2.names, path)
      return [name, entry((transpose ? leaf.t() : leaf).to(dtype).contiguous())]
    }),
  )
}
const random = (...shape: number[]) => entry(randn(shape, { generator: new Generator(9) }), 'other.safetensors')
const values = (weights: unknown) => Object.values(flattenTree(weights)).map((leaf) => leaf.toArray())

describe('loading', () => {
  test('gives the weights back, the transposed ones too', () => {
    expect(values(loadWeights(gpt2, config, stored()))).toEqual(values(model.weights))
  })

  test('leaves weights in the memory of the file, also where it is transposed', () => {
    const tensors = stored()
    const weights = loadWeights(gpt2, config, tensors)
    tensors.get('transformer.h.0.mlp.c_fc.weight')!.read().fill_(7)
    expect(weights.blocks[0]!.feedForward.up.weight.toArray().every((value) => value === 7)).toBe(true)
  })

  test('takes files of the bare model, without the prefix', () => {
    const bare = new Map([...stored()].map(([name, tensor]) => [name.replace('transformer.', ''), tensor]))
    expect(values(loadWeights(gpt2, config, bare))).toEqual(values(model.weights))
  })

  test('passes over the mask buffers of old files and the copy of a tied head', () => {
    const tensors = stored()
    tensors.set('transformer.h.0.attn.bias', random(1, 1, 4, 4))
    tensors.set('transformer.h.0.attn.masked_bias', random())
    tensors.set('lm_head.weight', random(10, 8))
    expect(values(loadWeights(gpt2, config, tensors))).toEqual(values(model.weights))
  })

  test('float16 becomes float32, bfloat16 stays, and any dtype can be asked for', () => {
    const dtypeOf = (from: DType, dtype?: DType) => loadWeights(gpt2, config, stored(from), { dtype }).norm.weight.dtype
    expect(dtypeOf('float16')).toBe('float32')
    expect(dtypeOf('bfloat16')).toBe('bfloat16')
    expect(dtypeOf('float32', 'bfloat16')).toBe('bfloat16')
    expect(dtypeOf('float16', 'float16')).toBe('float16')
  })

  test('lists all that is missing, misshapen or unexpected, with files', () => {
    const tensors = stored()
    tensors.delete('transformer.wpe.weight')
    tensors.delete('transformer.h.0.ln_1.bias')
    tensors.set('transformer.h.0.mlp.c_fc.weight', random(32, 8))
    tensors.set('transformer.ln_f.weight', { ...random(8), dtype: 'int64' })
    tensors.set('transformer.h.1.ln_1.bias', random(8))
    const load = () => loadWeights(gpt2, config, tensors, { where: 'models/mine' })
    expect(load).toThrow(FormatError)
    expect(load).toThrow(
      [
        'models/mine does not fit its gpt2 configuration: 5 problems',
        '  missing transformer.wpe.weight, expected [4, 8]',
        '  missing transformer.h.0.ln_1.bias, expected [8]',
        '  transformer.h.0.mlp.c_fc.weight in other.safetensors: got shape [32, 8], expected [8, 32]',
        '  transformer.ln_f.weight in other.safetensors: got int64, expected floating-point numbers',
        '  unexpected transformer.h.1.ln_1.bias in other.safetensors',
      ].join('\n'),
    )
  })

  test('a head of its own is demanded where it is not tied', () => {
    const { config: untied } = configure({ model_type: 'gpt2', ...SIZES, tie_word_embeddings: false })
    expect(() => loadWeights(gpt2, untied as typeof config, stored())).toThrow(
      /1 problem\n {2}missing lm_head.weight, expected \[10, 8\]/,
    )
  })
})

test('every weight of every layer has one name, with its number', () => {
  expect(fileName(llama.names, 'blocks.17.attention.query.weight').name).toBe('model.layers.17.self_attn.q_proj.weight')
  expect(fileName(llama.names, 'embed.weight')).toEqual({ name: 'model.embed_tokens.weight', transpose: false })
  expect(fileName(gpt2.names, 'blocks.0.attention.qkv.weight').transpose).toBe(true)
  expect(fileName(gpt2.names, 'blocks.0.attention.qkv.bias').transpose).toBe(false)
  expect(() => fileName(llama.names, 'blocks.0.attention.qkv.weight')).toThrow(/no name/)
})
