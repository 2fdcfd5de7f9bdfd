// Configurations of every family: both generations of transformers, defaults, everything wrong at once.
import { ConfigError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedJson } from '../../test/recorded.js'
import { scaledContextLength } from '../nn/index.js'
import { configure, families, gpt2, gptNeox, llama, preset, presetNames, type LlamaConfig } from './index.js'

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
    const { dropout, ...shape } = gpt2.parseConfig({})
    expect(preset('gpt2-124m').config).toEqual({ ...shape, dropout: { embedding: 0, attention: 0, residual: 0 } })
    expect(dropout).toEqual({ embedding: 0.1, attention: 0.1, residual: 0.1 })
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
  const recorded = [
    ...['gpt2', 'gpt_neo', 'gptj', 'gpt_neox', 'gpt_neox_sequential', 'stablelm', 'stablelm_epoch', 'stablelm_alpha'],
    ...['gpt3', 'llama', 'llama_gqa', 'mistral', 'mixtral', 'qwen2', 'qwen3'],
  ]
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
    {
      model_type: 'llama',
      max_position_embeddings: 64,
      original_max_position_embeddings: 16,
      head_dim: 4,
      rope_scaling: { type: 'longrope', short_factor: [1, 1.5], long_factor: [1, 4] },
    },
    {
      model_type: 'gpt_neo',
      num_layers: 3,
      attention_types: [
        [['local'], 2],
        [['global'], 1],
      ],
      resid_dropout: 0.2,
    },
    { model_type: 'gptj', rotary_dim: null, n_layer: 1, attn_pdrop: 0.3 },
    { model_type: 'mistral', sliding_window: null },
    { model_type: 'qwen2', num_hidden_layers: 3, use_sliding_window: true, max_window_layers: 2 },
    { model_type: 'mixtral', num_experts_per_tok: 1, router_aux_loss_coef: 0 },
    { model_type: 'stablelm_epoch', eos_token_id: null, qk_layernorm: true },
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

  // stablelm_epoch is written in the newer spelling, GPT-Neo's pattern layer by layer.
  const kept = recorded.filter((name) => name !== 'stablelm_epoch')
  test.each(kept)('%s keeps every key that it had, but for the dtype', (name) => {
    const json = recordedJson<Record<string, unknown>>(`models/${name}/config.json`)
    const { family, config } = configure(json)
    const forgotten = /classifier_dropout|dtype|attention_types/
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
  const known = 'gpt2, gpt3, gpt_neo, gptj, gpt_neox, stablelm, stablelm_alpha, llama, mistral, mixtral, qwen2, qwen3'

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
      'activation_function: "maxout" is not supported; supported are gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu, swish, relu, quick_gelu',
      'layer_norm_epsilon: must be a number above 0, got -1',
    ])
  })

  test.each<[string, Record<string, unknown>]>([
    ['num_attention_heads: 32 cannot be divided by num_key_value_heads (5)', { num_key_value_heads: 5 }],
    ['hidden_size: 4096 cannot be divided by num_attention_heads (31)', { num_attention_heads: 31 }],
    ['head_dim: 7 of the 7 dimensions of a head turn, which must be even', { head_dim: 7 }],
    [
      'rope_scaling.rope_type: "spiral" is not supported; supported are default, linear, dynamic, llama3, yarn, longrope',
      { rope_scaling: { rope_type: 'spiral' } },
    ],
    ['rope_scaling.factor: is missing, must be a number above 0', { rope_scaling: { rope_type: 'linear' } }],
    [
      'rope_scaling.rope_type: is missing, must be one of default, linear, dynamic, llama3, yarn, longrope',
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
    expect(issuesOf(json)).toEqual([`model_type: is missing; known are ${known}`])
  })

  test('an unknown family is named, with the nearest and all that are known', () => {
    expect(issuesOf({ model_type: 'gpt_neoxx' })).toEqual([
      `model_type: "gpt_neoxx" is not a family that Hearth knows; the nearest is gpt_neox; known are ${known}`,
    ])
  })

  test.each<[string, Record<string, unknown>]>([
    [
      'attention_types: must come to 4 of global, local, one for each layer, got [[["global","local"],3]]',
      { model_type: 'gpt_neo', num_layers: 4, attention_types: [[['global', 'local'], 3]] },
    ],
    [
      'rotary_dim: must be even and at most the width of a head (256), got 300',
      { model_type: 'gptj', rotary_dim: 300 },
    ],
    [
      'tie_word_embeddings: true is not supported; supported is false',
      { model_type: 'gptj', tie_word_embeddings: true },
    ],
    [
      'sliding_window: is missing, which layer_types needs',
      { model_type: 'qwen3', num_hidden_layers: 1, layer_types: ['sliding_attention'] },
    ],
    [
      'layer_types: must be a list of 2 of full_attention, sliding_attention, one for each layer, got ["chunked_attention"]',
      { model_type: 'qwen2', num_hidden_layers: 2, layer_types: ['chunked_attention'] },
    ],
    [
      'num_experts_per_tok: must be a whole number from 1 to 4, got 5',
      { model_type: 'mixtral', num_local_experts: 4, num_experts_per_tok: 5 },
    ],
    ['attention_dropout: must be a number from 0 to below 1, got 1', { model_type: 'stablelm', attention_dropout: 1 }],
    [
      'rotary_scaling_factor: 2 is not supported; supported is 1',
      { model_type: 'stablelm_alpha', rotary_scaling_factor: 2 },
    ],
    [
      'rope_scaling.short_factor: must be a list of 64 numbers above 0, got [1]',
      { model_type: 'llama', rope_scaling: { type: 'longrope', short_factor: [1], long_factor: Array(64).fill(1) } },
    ],
  ])('%s', (issue, json) => {
    expect(issuesOf(json)).toEqual([issue])
  })
})

test('a family is found by its architecture where the model type is missing, and by every spelling', () => {
  for (const family of Object.values(families)) {
    expect(configure({ architectures: [family.architecture] }).family).toBe(family)
    for (const name of family.otherNames ?? []) expect(configure({ model_type: name }).family).toBe(family)
  }
})

describe('which layers see a window', () => {
  test('Mistral: all, 4096 where the key is missing, none where it is null', () => {
    const windows = (json: object) => llamaConfig({ model_type: 'mistral', num_hidden_layers: 2, ...json }).windows
    expect(windows({})).toEqual([4096, 4096])
    expect(windows({ sliding_window: 7 })).toEqual([7, 7])
    expect(windows({ sliding_window: null })).toEqual([])
  })

  test('Qwen2: those from max_window_layers on, or as layer_types says, and only where it is switched on', () => {
    const sliding = { model_type: 'qwen2', num_hidden_layers: 3, use_sliding_window: true, sliding_window: 9 }
    expect(llamaConfig({ ...sliding, max_window_layers: 1 }).windows).toEqual([0, 9, 9])
    const layer_types = ['sliding_attention', 'full_attention', 'full_attention']
    expect(llamaConfig({ ...sliding, layer_types }).windows).toEqual([9, 0, 0])
    expect(llamaConfig({ ...sliding, use_sliding_window: false }).windows).toEqual([])
  })

  test('GPT-3 and GPT-Neo: every second one', () => {
    for (const name of ['gpt3-125m', 'gpt-neo-125m']) {
      const { family, config } = preset(name)
      expect(family.shape(config).windows).toEqual(Array(6).fill([0, 256]).flat())
    }
  })
})

const llamaConfig = (json: object) => configure(json).config as LlamaConfig

test('scalings that are not counted in the context lengthen it', () => {
  const { rotary } = llama.parseConfig({ rope_scaling: { rope_type: 'linear', factor: 2 } })
  expect(scaledContextLength(rotary)).toBe(4096)
  expect(llama.shape(llama.parseConfig({ rope_scaling: { rope_type: 'linear', factor: 2 } })).contextLength).toBe(4096)
})
