import { memoryStats, type Device } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { flattenTree, leavesOf } from '../tree/index.js'
import { createModel, placeModel, preset, presetNames } from './index.js'

// As published: in the papers' code, in the model cards, or counted from the published weights.
const PUBLISHED = {
  'gpt2-124m': 124_439_808,
  'gpt2-355m': 354_823_168,
  'gpt2-774m': 774_030_080,
  'gpt2-1558m': 1_557_611_200,
  'pythia-14m': 14_067_712,
  'pythia-31m': 30_494_720,
  'pythia-70m': 70_426_624,
  'pythia-160m': 162_322_944,
  'pythia-410m': 405_334_016,
  'pythia-1b': 1_011_781_632,
  'pythia-1.4b': 1_414_647_808,
  'pythia-2.8b': 2_775_208_960,
  'pythia-6.9b': 6_857_302_016,
  'pythia-12b': 11_846_072_320,
  'gpt-neo-125m': 125_198_592,
  'gpt-neo-1.3b': 1_315_575_808,
  'gpt-neo-2.7b': 2_651_307_520,
  'gpt-j-6b': 6_050_882_784,
  'gpt-neox-20b': 20_554_567_680,
  'stablelm-3b-4e1t': 2_795_443_200,
  // The card's 1,644,417,024 leaves out the biases of the blocks' two norms.
  'stablelm-2-1.6b': 1_644_417_024 + 24 * 2 * 2048,
  'llama-7b': 6_738_415_616,
  'llama-13b': 13_015_864_320,
  'llama-33b': 32_528_943_616,
  'llama-65b': 65_285_660_672,
  'llama2-7b': 6_738_415_616,
  'llama2-13b': 13_015_864_320,
  'llama2-70b': 68_976_648_192,
  'tinyllama-1.1b': 1_100_048_384,
  'llama3-8b': 8_030_261_248,
  'llama3-70b': 70_553_706_496,
  'llama3.1-8b': 8_030_261_248,
  'llama3.1-70b': 70_553_706_496,
  'llama3.1-405b': 405_853_388_800,
  'llama3.2-1b': 1_235_814_400,
  'llama3.2-3b': 3_212_749_824,
  'mistral-7b': 7_241_732_096,
  'mixtral-8x7b': 46_702_792_704,
  'mixtral-8x22b': 140_630_071_296,
  'qwen2-0.5b': 494_032_768,
  'qwen2-1.5b': 1_543_714_304,
  'qwen2-7b': 7_615_616_512,
  'qwen2-72b': 72_706_203_648,
  'qwen2.5-3b': 3_085_938_688,
  'qwen2.5-14b': 14_770_033_664,
  'qwen2.5-32b': 32_763_876_352,
  'qwen3-0.6b': 596_049_920,
  'qwen3-1.7b': 1_720_574_976,
  'qwen3-4b': 4_022_468_096,
  'qwen3-8b': 8_190_735_360,
  'qwen3-14b': 14_768_307_200,
  'qwen3-32b': 32_762_123_264,
}

const parametersOf = (name: string) => {
  const { family, config } = preset(name)
  return family.shape(config).parameters
}

describe('presets', () => {
  test.each(Object.entries(PUBLISHED))('%s has the published %d parameters', (name, parameters) => {
    expect(parametersOf(name)).toBe(parameters)
  })

  // Their papers and cards give no count, or one that their own configurations do not come to.
  const nominal = presetNames.filter((name) => /^gpt3|^stablelm-alpha|^stablelm-2-12b/.test(name))
  test.each(nominal)('%s has the size in its name', (name) => {
    const [, digits, unit] = /-([\d.]+)([mb])(-v2)?$/.exec(name)!
    const size = Number(digits) * (unit === 'b' ? 1e9 : 1e6)
    expect(Math.abs(parametersOf(name) / size - 1)).toBeLessThan(name.includes('alpha') ? 0.22 : 0.04)
  })

  test('spark is about 10M and ember about 30M', () => {
    expect(Math.abs(parametersOf('spark') / 10e6 - 1)).toBeLessThan(0.15)
    expect(Math.abs(parametersOf('ember') / 30e6 - 1)).toBeLessThan(0.15)
  })

  test('counting 175 billion weights allocates none', () => {
    const before = memoryStats().liveBytes
    expect(parametersOf('gpt3-175b')).toBeGreaterThan(174e9)
    expect(memoryStats().liveBytes).toBe(before)
  })

  test('a misspelt name is answered with the nearest', () => {
    expect(() => preset('pythia-70')).toThrow(/no preset "pythia-70"; did you mean pythia-70m\?/)
    expect(() => preset('toString')).toThrow(/no preset/)
  })
})

describe('new models', () => {
  const tiny = {
    model_type: 'llama',
    vocab_size: 50,
    hidden_size: 16,
    num_attention_heads: 2,
    intermediate_size: 24,
    num_hidden_layers: 2,
  }
  const values = (json: object, seed: number, dtype?: 'bfloat16') =>
    Object.fromEntries(
      Object.entries(flattenTree(createModel({ ...json }, { seed, dtype }).weights)).map(([path, leaf]) => [
        path,
        leaf.toArray(),
      ]),
    )

  test('the same seed gives the same weights, another seed others', () => {
    expect(values(tiny, 1)).toEqual(values(tiny, 1))
    expect(values(tiny, 1)['blocks.0.attention.key.weight']).not.toEqual(
      values(tiny, 2)['blocks.0.attention.key.weight'],
    )
  })

  test('a weight depends on its place alone: more layers, another head or biases change no other', () => {
    const small = values(tiny, 1)
    const large = values({ ...tiny, num_hidden_layers: 3, tie_word_embeddings: true, mlp_bias: true }, 1)
    for (const [path, numbers] of Object.entries(small))
      if (path !== 'head.weight') expect(large[path], path).toEqual(numbers)
    expect(large['blocks.1.attention.key.weight']).not.toEqual(large['blocks.2.attention.key.weight'])
  })

  test('weights in bfloat16 are those in float32, rounded', () => {
    const [wide, half] = [values(tiny, 1), values(tiny, 1, 'bfloat16')]
    for (const [path, numbers] of Object.entries(half))
      numbers.forEach((number, i) =>
        expect(Math.abs(number - wide[path]![i]!)).toBeLessThanOrEqual(Math.abs(number) / 256),
      )
  })

  test('a preset, its name and its contents give the same model', () => {
    const shapes = (model: ReturnType<typeof createModel>) => Object.keys(flattenTree(model.weights)).length
    const spark = preset('spark')
    expect(createModel(spark, { seed: 1 }).config).toEqual(createModel('spark', { seed: 1 }).config)
    expect(shapes(createModel(spark, { seed: 1 }))).toBe(3 + 4 * 9)
  })
})

describe('a model placed on a device', () => {
  const tiny = { model_type: 'gpt2', vocab_size: 50, n_embd: 16, n_layer: 2, n_head: 2 }

  test('where it is already is the same', () => {
    const model = createModel(tiny, { seed: 1 })
    expect(placeModel(model, 'cpu')).toBe(model)
  })

  test('elsewhere has all its weights there, and the ones it was made of are freed', () => {
    const model = createModel(tiny, { seed: 1 })
    const given = leavesOf(model.weights)
    // libtorch's device of shapes without memory: every machine has it.
    const placed = leavesOf(placeModel(model, 'meta' as Device).weights)
    expect(placed.map(({ shape }) => shape)).toHaveLength(given.length)
    expect(placed.every(({ device }) => (device as string) === 'meta')).toBe(true)
    expect(given.every(({ disposed }) => disposed)).toBe(true)
  })
})

describe('initialisation as published', () => {
  const spread = (name: string, layers: number) => {
    const sizes = {
      n_layer: layers,
      n_embd: 64,
      n_head: 2,
      num_hidden_layers: layers,
      hidden_size: 64,
      num_attention_heads: 2,
      intermediate_size: 256,
    }
    const { weights } = createModel({ model_type: name, vocab_size: 500, ...sizes }, { seed: 3 })
    return (path: string) => flattenTree(weights)[path]!.std().item()
  }
  const near = (value: number, expected: number) => expect(Math.abs(value / expected - 1)).toBeLessThan(0.05)

  test('GPT-2: 0.02, and projections onto the residual stream divided by the root of twice the layers', () => {
    const std = spread('gpt2', 8)
    near(std('embed.weight'), 0.02)
    near(std('blocks.0.attention.qkv.weight'), 0.02)
    near(std('blocks.3.attention.out.weight'), 0.02 / 4)
    near(std('blocks.7.feedForward.down.weight'), 0.02 / 4)
    expect(std('blocks.0.attention.qkv.bias')).toBe(0)
  })

  test('LLaMA: 0.02 everywhere', () => {
    const std = spread('llama', 8)
    for (const path of ['embed', 'head', 'blocks.0.attention.out', 'blocks.7.feedForward.down'])
      near(std(`${path}.weight`), 0.02)
  })

  test('GPT-NeoX: small init, and Wang init onto the residual stream', () => {
    const std = spread('gpt_neox', 8)
    for (const path of ['embed', 'head', 'blocks.0.attention.qkv', 'blocks.7.feedForward.up'])
      near(std(`${path}.weight`), Math.sqrt(2 / (5 * 64)))
    for (const path of ['blocks.0.attention.out', 'blocks.7.feedForward.down']) near(std(`${path}.weight`), 2 / 8 / 8)
  })
})
