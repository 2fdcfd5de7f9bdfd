// Configurations of every family: both generations of transformers, defaults, everything wrong at once.
import { ConfigError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedJson } from '../../test/recorded.js'
import { scaledContextLength } from '../nn/index.js'
import { configure, families, gpt2, gptNeox, llama, preset, presetNames } from './index.js'

/** The issues that reading a configuration ends in, as `path: message`. */
function issuesOf(json: unknown): string[] {
  try {
    configure(json)
  } catch (error) {
    if (error instanceof ConfigError) return error.issues.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

describe('defaults', () => {
  test('an empty GPT-2 configuration is the 124M model', () => {
    expect(gpt2.parseConfig({})).toEqual(preset('gpt2-124m').config)
    expect(gpt2.parseConfig({})).toMatchObject({
      feedForward: 3072,
      tiedHead: true,
      endTokens: [50_256],
      contextLength: 1024,
    })
  })

  test('an empty LLaMA configuration is the 7B model', () => {
    expect(llama.parseConfig({})).toEqual(preset('llama-7b').config)
    expect(llama.parseConfig({})).toMatchObject({
      keyValueHeads: 32,
      headDim: 128,
      tiedHead: false,
      beginTokens: [1],
      endTokens: [2],
    })
  })

  test('an empty GPT-NeoX configuration is the 20B model', () => {
    expect(gptNeox.parseConfig({})).toMatchObject({
      width: 6144,
      layers: 44,
      heads: 64,
      activation: 'gelu',
      parallelResidual: true,
    })
    expect(gptNeox.parseConfig({}).rotary).toMatchObject({ dims: 24, theta: 10_000, contextLength: 2048 })
  })

  test('null counts as missing, and unknown keys are ignored', () => {
    expect(gpt2.parseConfig({ n_inner: null, n_layer: null, summary_type: 'cls_index', dreams: 3 })).toEqual(
      gpt2.parseConfig({}),
    )
  })

  test('a missing end token is the default, and null is none', () => {
    expect(llama.parseConfig({ eos_token_id: null }).endTokens).toEqual([])
    expect(llama.parseConfig({ eos_token_id: [7, 8] }).endTokens).toEqual([7, 8])
  })
})

describe('both generations of keys', () => {
  const scaling = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 256,
  }

  test('rope_parameters of v5 and rope_theta with rope_scaling of v4 mean the same', () => {
    const v4 = llama.parseConfig({ rope_theta: 500_000, rope_scaling: { rope_type: 'llama3', ...scaling } })
    const old = llama.parseConfig({ rope_theta: 500_000, rope_scaling: { type: 'llama3', ...scaling } })
    const v5 = llama.parseConfig({ rope_parameters: { rope_type: 'llama3', rope_theta: 500_000, ...scaling } })
    expect(v5).toEqual(v4)
    expect(old).toEqual(v4)
    expect(v4.rotary).toMatchObject({ theta: 500_000, scaling: { kind: 'llama3', lowFrequencyFactor: 1 } })
  })

  test('the turning share of GPT-NeoX is read from either', () => {
    const v4 = gptNeox.parseConfig({ rotary_pct: 0.5, rotary_emb_base: 5000 })
    const v5 = gptNeox.parseConfig({
      rope_parameters: { rope_type: 'default', rope_theta: 5000, partial_rotary_factor: 0.5 },
    })
    expect(v5).toEqual(v4)
    expect(v4.rotary.dims).toBe(48)
  })

  test('yarn fills in what the paper recommends, and its factor from the two lengths', () => {
    const rope_scaling = { rope_type: 'yarn', original_max_position_embeddings: 1024 }
    expect(llama.parseConfig({ max_position_embeddings: 4096, rope_scaling }).rotary.scaling).toMatchObject({
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
    })
  })
})

describe('writing', () => {
  const recorded = ['gpt2', 'llama', 'llama_gqa', 'gpt_neox', 'gpt_neox_sequential']
  const yarn = { rope_type: 'yarn', factor: 4, attention_factor: 0.9, truncate: false }
  const others: Record<string, unknown>[] = [
    {
      model_type: 'llama',
      rope_scaling: { type: 'linear', factor: 2 },
      head_dim: 64,
      mlp_bias: true,
      eos_token_id: null,
    },
    {
      model_type: 'llama',
      rope_scaling: { rope_type: 'dynamic', factor: 3 },
      attention_bias: true,
      num_key_value_heads: 8,
    },
    { model_type: 'llama', rope_parameters: { rope_theta: 1e6, ...yarn }, bos_token_id: [3, 4] },
    { model_type: 'gpt_neox', hidden_size: 98, num_attention_heads: 1, rotary_pct: 0.03, tie_word_embeddings: true },
    { model_type: 'gpt2', scale_attn_by_inverse_layer_idx: true, n_inner: 5, activation_function: 'relu' },
  ]
  const configs = [
    ...recorded.map((name) => recordedJson<Record<string, unknown>>(`models/${name}/config.json`)),
    ...others,
    ...presetNames.map((name) => preset(name)).map(({ family, config }) => family.toConfig(config)),
  ]

  test.each(configs)('%j reads back as it was', (json) => {
    const { family, config } = configure(json)
    const written = JSON.parse(JSON.stringify(family.toConfig(config))) as unknown
    expect(configure(written)).toEqual({ family, config })
  })

  test.each(recorded)('%s keeps every key that it had, but for dropout and dtype', (name) => {
    const json = recordedJson<Record<string, unknown>>(`models/${name}/config.json`)
    const { family, config } = configure(json)
    const forgotten = /pdrop|dropout|dtype/
    const expected = Object.entries(json).filter(([key, value]) => !forgotten.test(key) && value !== null)
    for (const [key, value] of expected) expect(family.toConfig(config)[key], key).toEqual(value)
  })

  test('v4 readers find the keys that they know', () => {
    const { family, config } = configure({
      model_type: 'gpt_neox',
      rope_parameters: { rope_theta: 5000, partial_rotary_factor: 0.5 },
    })
    expect(family.toConfig(config)).toMatchObject({ rotary_pct: 0.5, rotary_emb_base: 5000, rope_scaling: null })
  })
})

describe('what cannot be', () => {
  test('everything that is wrong is reported at once', () => {
    expect(
      issuesOf({
        model_type: 'gpt2',
        vocab_size: 0,
        n_embd: 100,
        n_head: 7,
        n_layer: 2.5,
        activation_function: 'maxout',
        layer_norm_epsilon: -1,
        tie_word_embeddings: 'yes',
        eos_token_id: 'end',
      }),
    ).toEqual([
      'n_embd: 100 cannot be divided by n_head (7)',
      'vocab_size: must be a whole number from 1 to 2147483647, got 0',
      'tie_word_embeddings: must be true or false, got "yes"',
      'eos_token_id: must be a token number or a list of them, got "end"',
      'n_layer: must be a whole number from 1 to 10000, got 2.5',
      'activation_function: "maxout" is not supported; supported are gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu, swish, relu',
      'layer_norm_epsilon: must be a number above 0, got -1',
    ])
  })

  test.each<[string, Record<string, unknown>]>([
    ['num_attention_heads: 32 cannot be divided by num_key_value_heads (5)', { num_key_value_heads: 5 }],
    ['hidden_size: 4096 cannot be divided by num_attention_heads (31)', { num_attention_heads: 31 }],
    ['head_dim: 7 of the 7 dimensions of a head turn, which must be even', { head_dim: 7 }],
    [
      'rope_scaling.rope_type: "longrope" is not supported; supported are default, linear, dynamic, llama3, yarn',
      { rope_scaling: { rope_type: 'longrope' } },
    ],
    ['rope_scaling.factor: is missing, must be a number above 0', { rope_scaling: { rope_type: 'linear' } }],
    [
      'rope_scaling.rope_type: is missing, must be one of default, linear, dynamic, llama3, yarn',
      { rope_scaling: { factor: 2 } },
    ],
    ['quantization_config: quantised weights are not supported', { quantization_config: { bits: 4 } }],
    ['rope_scaling: must be an object, got 4', { rope_scaling: 4 }],
  ])('LLaMA: %s', (issue, json) => {
    expect(issuesOf({ model_type: 'llama', ...json })).toContain(issue)
  })

  test.each<[string, Record<string, unknown>]>([
    ['rotary_pct: 21 of the 96 dimensions of a head turn, which must be even', { rotary_pct: 0.22 }],
    ['rotary_pct: 0 of the 96 dimensions of a head turn, which must be 2 to 96', { rotary_pct: 0.001 }],
    [
      'rope_parameters.partial_rotary_factor: 192 of the 96 dimensions of a head turn, which must be 2 to 96',
      { rope_parameters: { partial_rotary_factor: 2 } },
    ],
  ])('GPT-NeoX: %s', (issue, json) => {
    expect(issuesOf({ model_type: 'gpt_neox', ...json })).toContain(issue)
  })

  test.each([null, 7, 'llama', [], {}])('%j is no configuration, and the known families are listed', (json) => {
    expect(issuesOf(json)).toEqual(['model_type: is missing; known are gpt2, llama, gpt_neox'])
  })

  test('an unknown family is named, and the known ones are listed', () => {
    expect(issuesOf({ model_type: 'mamba' })).toEqual([
      'model_type: "mamba" is not a family that Hearth knows; known are gpt2, llama, gpt_neox',
    ])
  })
})

test('a family is found by its architecture where the model type is missing', () => {
  for (const family of Object.values(families))
    expect(configure({ architectures: [family.architecture] }).family).toBe(family)
})

test('scalings that are not counted in the context lengthen it', () => {
  const { rotary } = llama.parseConfig({ rope_scaling: { rope_type: 'linear', factor: 2 } })
  expect(scaledContextLength(rotary)).toBe(4096)
  expect(llama.shape(llama.parseConfig({ rope_scaling: { rope_type: 'linear', factor: 2 } })).contextLength).toBe(4096)
})
