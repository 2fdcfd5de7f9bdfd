// llama.cpp reads the GGUF files that Hearth writes as Hearth itself does: models, blocks of numbers, tokenizers.
import { gunzipSync } from 'node:zlib'
import { readFileSync } from 'node:fs'
import { call, Generator, tensor, type Tensor } from '@hearth/torch'
import { afterAll, describe, expect, test } from 'vitest'
import { Tokenizer } from '../src/data/index.js'
import {
  loadModel,
  openModelSource,
  saveGguf,
  saveModel,
  tensorTypes,
  type TensorType,
  type WritableType,
} from '../src/formats/index.js'
import { createModel, logits, type ConfigJson, type LanguageModel } from '../src/models/index.js'
import { sentencePiece } from './llama/sentence-piece.js'
import { hasLlama, LlamaReferee } from './llama/referee.js'
import { fixture, recordedJson } from './recorded.js'

const referee = hasLlama ? new LlamaReferee() : undefined
afterAll(() => referee?.close())

const IDS = [1, 5, 9, 3, 7, 11, 2, 30, 4, 4, 17, 8]
const ours = (model: LanguageModel) => logits(model, tensor([IDS], { dtype: 'int64' })).toArray()
const norm = (values: readonly number[]) => Math.sqrt(values.reduce((sum, one) => sum + one * one, 0))
const distance = (a: readonly number[], b: readonly number[]) => norm(a.map((one, i) => one - b[i]!)) / norm(b)

function greedy(model: LanguageModel, count: number): number[] {
  const ids = [...IDS]
  for (let i = 0; i < count; i++)
    ids.push(
      logits(model, tensor([ids], { dtype: 'int64' }), { lastOnly: true })
        .argmax()
        .item(),
    )
  return ids.slice(IDS.length)
}

/** Models wide enough for K blocks; vocabulary 64. */
const wide: Record<string, ConfigJson> = {
  llama: {
    model_type: 'llama',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 512,
    initializer_range: 0.05,
  },
  llama3: {
    model_type: 'llama',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    intermediate_size: 256,
    tie_word_embeddings: true,
    initializer_range: 0.05,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
  },
  'llama with linear scaling': {
    model_type: 'llama',
    hidden_size: 256,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    intermediate_size: 256,
    initializer_range: 0.05,
    rope_scaling: { rope_type: 'linear', factor: 4 },
  },
  'llama with yarn scaling': {
    model_type: 'llama',
    hidden_size: 256,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    intermediate_size: 256,
    initializer_range: 0.05,
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512 },
  },
  gpt2: { model_type: 'gpt2', n_embd: 256, n_layer: 2, n_head: 4, n_positions: 64, initializer_range: 0.05 },
  gptneox: {
    model_type: 'gpt_neox',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    intermediate_size: 512,
  },
  'llama (mistral)': {
    model_type: 'mistral',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 256,
    initializer_range: 0.05,
    sliding_window: 64,
  },
  'llama (mixtral)': {
    model_type: 'mixtral',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 256,
    initializer_range: 0.05,
    num_local_experts: 4,
  },
  'llama kin qwen2': {
    model_type: 'qwen2',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 256,
    initializer_range: 0.05,
  },
  'llama kin qwen3': {
    model_type: 'qwen3',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 256,
    initializer_range: 0.05,
    head_dim: 64,
  },
  'llama kin stablelm': {
    model_type: 'stablelm',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 256,
    initializer_range: 0.05,
  },
  'llama kin stablelm 2': {
    model_type: 'stablelm',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 256,
    initializer_range: 0.05,
    use_qkv_bias: true,
    qk_layernorm: true,
    use_parallel_residual: true,
  },
}

async function written(config: ConfigJson, type: WritableType): Promise<string> {
  const folder = referee!.path('model')
  await saveModel(folder, createModel({ ...config, vocab_size: 64, bos_token_id: 0, eos_token_id: 1 }, { seed: 7 }))
  const path = referee!.path('model.gguf')
  const source = openModelSource(folder)
  await saveGguf(path, source, { type })
  source.close()
  return path
}

/** What rounding in another order, and llama.cpp's table of GELU in 16 bits, do to logits in float32. */
const PLAIN = { llama: 1e-5, gelu: 1e-3 }

describe.skipIf(!hasLlama)('llama.cpp', () => {
  test.each(['llama', 'llama_gqa', 'gpt2', 'gpt_neox', 'gpt_neox_sequential'])(
    'gives %s’s logits and tokens',
    async (name) => {
      const path = referee!.path('recorded.gguf')
      const source = openModelSource(fixture(`models/${name}`))
      await saveGguf(path, source)
      source.close()
      const model = loadModel(fixture(`models/${name}`))
      const theirs = referee!.logits(path, IDS, 8)
      expect(distance(theirs.logits, ours(model))).toBeLessThan(name.startsWith('llama') ? PLAIN.llama : PLAIN.gelu)
      expect(theirs.tokens).toEqual(greedy(model, 8))
    },
  )

  test.each(Object.keys(wide))('gives the logits and tokens of %s in F32', async (name) => {
    const path = await written(wide[name]!, 'F32')
    const theirs = referee!.logits(path, IDS, 8)
    expect(distance(theirs.logits, ours(loadModel(path)))).toBeLessThan(
      name.startsWith('llama') ? PLAIN.llama : PLAIN.gelu,
    )
    expect(theirs.tokens).toEqual(greedy(loadModel(path), 8))
  })

  // llama.cpp rounds what a quantised matrix is multiplied by to 8 bits a number, F16's to 16 bits and BF16's likewise:
  // the distance is that of its products, not of the file, whose numbers are compared bit for bit below.
  const types: [WritableType, number][] = [
    ['F16', 2e-3],
    ['BF16', 1e-2],
    ['Q8_0', 3e-2],
    ['Q6_K', 3e-2],
    ['Q4_K', 3e-2],
    ['Q4_0', 3e-2],
  ]
  const cases = ['llama', 'gpt2', 'gptneox'].flatMap((name) => types.map(([type, bar]) => [name, type, bar] as const))
  test.each(cases)('gives the logits of %s in %s', async (name, type, bar) => {
    const path = await written(wide[name]!, type)
    expect(distance(referee!.logits(path, IDS, 0).logits, ours(loadModel(path)))).toBeLessThan(bar)
  })
})

/** All but Q8_K, which ggml keeps for products and reads from no file. */
const quantised = (Object.keys(tensorTypes) as TensorType[]).filter((type) => type.startsWith('Q') && type !== 'Q8_K')

/** Random bytes with scales that are numbers: bytes 0 and 1 of every pair that could be one are kept small. */
function randomBlocks(type: TensorType, count: number): Uint8Array {
  const { bytes } = tensorTypes[type]
  const generator = new Generator(3)
  const random = tensor(new Float32Array(count * bytes)).uniform_({ from: 0, to: 255.99, generator })
  const raw = Uint8Array.from(random.toArray())
  // A half is finite where its exponent is not all ones, a float likewise: the high byte of each scale loses a bit.
  const scales: Record<string, number[]> = {
    Q4_1: [1, 3],
    Q5_1: [1, 3],
    Q2_K: [81, 83],
    Q3_K: [109],
    Q4_K: [1, 3],
    Q5_K: [1, 3],
    Q6_K: [209],
  }
  for (let block = 0; block < count; block++) for (const at of scales[type] ?? [1]) raw[block * bytes + at]! &= 0xbb
  return raw
}

describe.skipIf(!hasLlama)('blocks', () => {
  test.each(quantised)('of %s are the same numbers, bit for bit, as llama.cpp reads', (type) => {
    const count = 64
    const blocks = randomBlocks(type, count)
    const numbers = (call('hearth::decode_blocks', tensor(blocks), type) as Tensor).toArray()
    expect(numbers).toEqual(referee!.numbers(tensorTypes[type].id, blocks, count * tensorTypes[type].elements))
  })

  test.each(['Q8_0', 'Q6_K', 'Q4_K', 'Q4_0'] as const)('of %s that we write are read there as here', (type) => {
    const numbers = tensor(new Float32Array(8192)).normal_({ generator: new Generator(5) })
    const blocks = call('hearth::encode_blocks', numbers, type) as Tensor
    const back = call('hearth::decode_blocks', blocks, type) as Tensor
    expect(back.toArray()).toEqual(referee!.numbers(tensorTypes[type].id, blocks.data() as Uint8Array, 8192))
  })
})

const texts = [
  'Call me Ishmael.',
  "It's 1851;  we've sailed\n\n\tfar — très loin, 很远 🐳.",
  '  <|endoftext|>  x = y*2  ',
  'def f(x):\n        return x ** 2\n',
]

async function withTokenizer(tokenizer: Tokenizer): Promise<string> {
  const config = {
    ...wide.gpt2!,
    n_embd: 32,
    n_layer: 1,
    vocab_size: tokenizer.vocabSize + 3,
    bos_token_id: tokenizer.beginOfText!,
    eos_token_id: tokenizer.endOfText!,
  }
  const folder = referee!.path('spoken')
  await saveModel(folder, createModel(config, { seed: 1 }), { tokenizer })
  const path = referee!.path('spoken.gguf')
  const source = openModelSource(folder)
  await saveGguf(path, source)
  source.close()
  return path
}

const recorded = (name: string) =>
  Tokenizer.fromJson(JSON.parse(gunzipSync(readFileSync(fixture(`tokenizers/${name}.tokenizer.json.gz`))).toString()), {
    eos_token: '<|endoftext|>',
    bos_token: '<|endoftext|>',
  })

describe.skipIf(!hasLlama)('a tokenizer in a GGUF file', () => {
  test.each(['gpt-2', 'gpt-neox', 'SentencePiece'])(
    'of %s cuts texts as before, in llama.cpp and read back',
    async (name) => {
      const tokenizer = name === 'SentencePiece' ? sentencePiece() : recorded(name)
      const path = await withTokenizer(tokenizer)
      const back = (await openModelSource(path).tokenizer())!
      for (const text of name === 'SentencePiece' ? ['Ishmael sailed far', 'far é sailed  far.', ''] : texts) {
        const ids = [...tokenizer.encode(text)]
        expect([...back.encode(text)], text).toEqual(ids)
        expect(referee!.tokens(path, text), text).toEqual(ids)
        expect(back.decode(ids)).toBe(tokenizer.decode(ids))
      }
      expect(back.endOfText).toBe(tokenizer.endOfText)
      expect(back.vocabSize).toBe(tokenizer.vocabSize)
    },
  )

  test('gives the encodings that are recorded of GPT-2', async () => {
    const path = await withTokenizer(recorded('gpt-2'))
    const { encodings } = recordedJson<{ encodings: { text: string; ids: number[] }[] }>(
      'tokenizers/gpt-2.encodings.json',
    )
    for (const { text, ids } of encodings.slice(0, 12)) expect(referee!.tokens(path, text), text).toEqual(ids)
  })
})
