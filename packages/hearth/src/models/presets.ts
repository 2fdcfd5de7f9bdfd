// Published shapes by name, as the keys of config.json that differ from the family's defaults.
// Only shapes: weights come from scratch (createModel) or from files (hearth/formats).

/** A part of a config.json. */
export type ConfigJson = Readonly<Record<string, unknown>>

const gpt2 = (layers: number, width: number, heads: number): ConfigJson => ({
  model_type: 'gpt2',
  n_layer: layers,
  n_embd: width,
  n_head: heads,
})

// Brown et al. 2020, table 2.1, where two rows do not add up: XL is given 24 heads of 128 for a width of 2048 (16 here),
// 13B a width of 5140 for 40 heads (5120 here). Every second layer of GPT-3 attends sparsely, which is to come; the
// shapes are the same.
const gpt3 = (layers: number, width: number, heads: number): ConfigJson => ({
  ...gpt2(layers, width, heads),
  n_positions: 2048,
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

/** Touvron et al. 2023, table 2. */
const llama = (layers: number, width: number, heads: number, feedForward: number, epsilon = 1e-6): ConfigJson => ({
  model_type: 'llama',
  num_hidden_layers: layers,
  hidden_size: width,
  num_attention_heads: heads,
  intermediate_size: feedForward,
  rms_norm_eps: epsilon,
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

  'llama-7b': llama(32, 4096, 32, 11_008),
  'llama-13b': llama(40, 5120, 40, 13_824),
  'llama-33b': llama(60, 6656, 52, 17_920),
  'llama-65b': llama(80, 8192, 64, 22_016, 1e-5),
}
