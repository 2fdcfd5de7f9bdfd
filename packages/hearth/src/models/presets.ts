// Published shapes by name, as the keys of config.json that differ from the family's defaults.
// Only shapes: weights come from scratch (createModel) or from files (hearth/formats). Nothing is forgotten in training:
// where a family's configuration means dropout when it says nothing, these say 0.

/** A part of a config.json. */
export type ConfigJson = Readonly<Record<string, unknown>>

const gpt2 = (layers: number, width: number, heads: number): ConfigJson => ({
  model_type: 'gpt2',
  n_layer: layers,
  n_embd: width,
  n_head: heads,
  attn_pdrop: 0,
  embd_pdrop: 0,
  resid_pdrop: 0,
})

// Brown et al. 2020, table 2.1, where two rows do not add up: XL is given 24 heads of 128 for a width of 2048 (16 here),
// 13B a width of 5140 for 40 heads (5120 here). The width of the bands is not given: GPT-Neo's, 256.
const gpt3 = (layers: number, width: number, heads: number): ConfigJson => ({
  ...gpt2(layers, width, heads),
  model_type: 'gpt3',
  n_positions: 2048,
})

/** The configurations published with GPT-Neo's weights (Black et al. 2021). */
const gptNeo = (layers: number, width: number, heads: number): ConfigJson => ({
  model_type: 'gpt_neo',
  num_layers: layers,
  hidden_size: width,
  num_heads: heads,
  attention_types: [[['global', 'local'], layers / 2]],
})

/** Biderman et al. 2023, table 1; the vocabulary is padded to a multiple that grows with the model. */
const pythia = (layers: number, width: number, heads: number, vocabularySize = 50_304): ConfigJson => ({
  model_type: 'gpt_neox',
  num_hidden_layers: layers,
  hidden_size: width,
  num_attention_heads: heads,
  intermediate_size: 4 * width,
  vocab_size: vocabularySize,
  eos_token_id: 0,
})

/** StableLM Alpha, the first: GPT-NeoX with a longer context. */
const alpha = (width: number, heads: number, vocabularySize: number): ConfigJson => ({
  ...pythia(16, width, heads, vocabularySize),
  max_position_embeddings: 4096,
})

/** Touvron et al. 2023, table 2. */
const llama = (layers: number, width: number, heads: number, feedForward: number, epsilon = 1e-6): ConfigJson => ({
  model_type: 'llama',
  num_hidden_layers: layers,
  hidden_size: width,
  num_attention_heads: heads,
  intermediate_size: feedForward,
  rms_norm_eps: epsilon,
})

/** Touvron et al. 2023b (LLaMA 2). */
const llama2 = (layers: number, width: number, heads: number, feedForward: number): ConfigJson => ({
  ...llama(layers, width, heads, feedForward, 1e-5),
  max_position_embeddings: 4096,
})

/** Dubey et al. 2024, table 3; eight key/value heads in all. */
const llama3 = (layers: number, width: number, heads: number, feedForward: number): ConfigJson => ({
  ...llama(layers, width, heads, feedForward, 1e-5),
  num_key_value_heads: 8,
  vocab_size: 128_256,
  max_position_embeddings: 8192,
  rope_theta: 500_000,
  bos_token_id: 128_000,
  eos_token_id: 128_001,
})

/** LLaMA 3.1 and 3.2: a context of 131072 by stretched rotary positions. */
const stretched = (base: ConfigJson, factor: number): ConfigJson => ({
  ...base,
  max_position_embeddings: 131_072,
  rope_scaling: {
    rope_type: 'llama3',
    factor,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
})

const mixtral = (layers: number, width: number, heads: number, feedForward: number, sizes: ConfigJson): ConfigJson => ({
  model_type: 'mixtral',
  num_hidden_layers: layers,
  hidden_size: width,
  num_attention_heads: heads,
  intermediate_size: feedForward,
  ...sizes,
})

/** Yang et al. 2024, table 1; the Qwen2.5 report's table 1. */
const qwen2 = (layers: number, width: number, heads: [number, number], feedForward: number): ConfigJson => ({
  model_type: 'qwen2',
  num_hidden_layers: layers,
  hidden_size: width,
  num_attention_heads: heads[0],
  num_key_value_heads: heads[1],
  intermediate_size: feedForward,
  vocab_size: width > 3000 ? 152_064 : 151_936,
  tie_word_embeddings: width < 3000,
  rope_theta: 1e6,
  bos_token_id: 151_643,
  eos_token_id: 151_643,
})

/** Yang et al. 2025, table 1; eight key/value heads in all. */
const qwen3 = (layers: number, width: number, heads: number, feedForward: number): ConfigJson => ({
  ...qwen2(layers, width, [heads, 8], feedForward),
  model_type: 'qwen3',
  vocab_size: 151_936,
  max_position_embeddings: 32_768,
})

/** Ours, for a laptop: LLaMA's layers with a small vocabulary of their own. */
const laptop = (layers: number, width: number, heads: number, sizes: ConfigJson): ConfigJson => ({
  model_type: 'llama',
  num_hidden_layers: layers,
  hidden_size: width,
  num_attention_heads: heads,
  rms_norm_eps: 1e-5,
  bos_token_id: 0,
  eos_token_id: 0,
  ...sizes,
})

export const presetConfigs: Readonly<Record<string, ConfigJson>> = {
  // Shallow, with a table of its own for the input: in the minutes of a first run what a token costs decides, and
  // looking up costs nothing.
  spark: laptop(4, 320, 5, {
    intermediate_size: 864,
    vocab_size: 8192,
    max_position_embeddings: 512,
    tie_word_embeddings: false,
  }),
  ember: laptop(8, 512, 8, {
    intermediate_size: 1376,
    vocab_size: 8192,
    max_position_embeddings: 1024,
    tie_word_embeddings: true,
  }),

  'gpt2-124m': gpt2(12, 768, 12),
  'gpt2-355m': gpt2(24, 1024, 16),
  'gpt2-774m': gpt2(36, 1280, 20),
  'gpt2-1558m': gpt2(48, 1600, 25),

  'gpt3-125m': gpt3(12, 768, 12),
  'gpt3-350m': gpt3(24, 1024, 16),
  'gpt3-760m': gpt3(24, 1536, 16),
  'gpt3-1.3b': gpt3(24, 2048, 16),
  'gpt3-2.7b': gpt3(32, 2560, 32),
  'gpt3-6.7b': gpt3(32, 4096, 32),
  'gpt3-13b': gpt3(40, 5120, 40),
  'gpt3-175b': gpt3(96, 12_288, 96),

  'gpt-neo-125m': gptNeo(12, 768, 12),
  'gpt-neo-1.3b': gptNeo(24, 2048, 16),
  'gpt-neo-2.7b': gptNeo(32, 2560, 20),
  'gpt-j-6b': { model_type: 'gptj' },
  'gpt-neox-20b': { model_type: 'gpt_neox' },

  'pythia-14m': pythia(6, 128, 4),
  'pythia-31m': pythia(6, 256, 8),
  'pythia-70m': pythia(6, 512, 8),
  'pythia-160m': pythia(12, 768, 12),
  'pythia-410m': pythia(24, 1024, 16),
  'pythia-1b': pythia(16, 2048, 8),
  'pythia-1.4b': pythia(24, 2048, 16),
  'pythia-2.8b': pythia(32, 2560, 32),
  'pythia-6.9b': pythia(32, 4096, 32, 50_432),
  'pythia-12b': pythia(36, 5120, 40, 50_688),

  'stablelm-alpha-3b': alpha(4096, 32, 50_688),
  'stablelm-alpha-7b': alpha(6144, 48, 50_432),
  'stablelm-alpha-3b-v2': { model_type: 'stablelm_alpha' },
  'stablelm-alpha-7b-v2': { model_type: 'stablelm_alpha', hidden_size: 4096 },
  'stablelm-3b-4e1t': { model_type: 'stablelm' },
  'stablelm-2-1.6b': {
    model_type: 'stablelm',
    hidden_size: 2048,
    num_hidden_layers: 24,
    intermediate_size: 5632,
    vocab_size: 100_352,
    use_qkv_bias: true,
    bos_token_id: 100_257,
    eos_token_id: 100_257,
  },
  'stablelm-2-12b': {
    model_type: 'stablelm',
    hidden_size: 5120,
    num_hidden_layers: 40,
    num_key_value_heads: 8,
    intermediate_size: 13_824,
    vocab_size: 100_352,
    qk_layernorm: true,
    use_parallel_residual: true,
    initializer_range: 0.01,
    bos_token_id: 100_257,
    eos_token_id: 100_257,
  },

  'llama-7b': llama(32, 4096, 32, 11_008),
  'llama-13b': llama(40, 5120, 40, 13_824),
  'llama-33b': llama(60, 6656, 52, 17_920),
  'llama-65b': llama(80, 8192, 64, 22_016, 1e-5),

  'llama2-7b': llama2(32, 4096, 32, 11_008),
  'llama2-13b': llama2(40, 5120, 40, 13_824),
  'llama2-70b': { ...llama2(80, 8192, 64, 28_672), num_key_value_heads: 8 },
  'tinyllama-1.1b': { ...llama(22, 2048, 32, 5632, 1e-5), num_key_value_heads: 4 },
  'llama3-8b': llama3(32, 4096, 32, 14_336),
  'llama3-70b': llama3(80, 8192, 64, 28_672),
  'llama3.1-8b': stretched(llama3(32, 4096, 32, 14_336), 8),
  'llama3.1-70b': stretched(llama3(80, 8192, 64, 28_672), 8),
  'llama3.1-405b': stretched(llama3(126, 16_384, 128, 53_248), 8),
  'llama3.2-1b': { ...stretched(llama3(16, 2048, 32, 8192), 32), tie_word_embeddings: true },
  'llama3.2-3b': { ...stretched(llama3(28, 3072, 24, 8192), 32), tie_word_embeddings: true },

  // Jiang et al. 2023 and 2024.
  'mistral-7b': { model_type: 'mistral', max_position_embeddings: 32_768, rms_norm_eps: 1e-5 },
  'mixtral-8x7b': mixtral(32, 4096, 32, 14_336, { max_position_embeddings: 32_768 }),
  'mixtral-8x22b': mixtral(56, 6144, 48, 16_384, { vocab_size: 32_768, max_position_embeddings: 65_536 }),

  'qwen2-0.5b': qwen2(24, 896, [14, 2], 4864),
  'qwen2-1.5b': qwen2(28, 1536, [12, 2], 8960),
  'qwen2-7b': qwen2(28, 3584, [28, 4], 18_944),
  'qwen2-72b': qwen2(80, 8192, [64, 8], 29_568),
  'qwen2.5-3b': qwen2(36, 2048, [16, 2], 11_008),
  'qwen2.5-14b': qwen2(48, 5120, [40, 8], 13_824),
  'qwen2.5-32b': qwen2(64, 5120, [40, 8], 27_648),

  'qwen3-0.6b': qwen3(28, 1024, 16, 3072),
  'qwen3-1.7b': qwen3(28, 2048, 16, 6144),
  'qwen3-4b': qwen3(36, 2560, 32, 9728),
  'qwen3-8b': qwen3(36, 4096, 32, 12_288),
  'qwen3-14b': qwen3(40, 5120, 40, 17_408),
  'qwen3-32b': qwen3(64, 5120, 64, 25_600),
}
