// GPT-2, GPT-NeoX (Pythia) and StableLM.
import type { Architecture, Json, Refuse, Rule } from './architecture.js'
import { conv1d, fusedHeads } from './changes.js'
import { rotaryConfig, rotaryMetadata } from './rotary-keys.js'
import { bool, float32, uint32 } from './values.js'

/** llama.cpp's own maths differs where these do. */
function only(config: Json, refuse: Refuse, key: string, ...supported: unknown[]): void {
  if (!supported.includes(config[key]))
    refuse(
      key,
      `${JSON.stringify(config[key])}, where llama.cpp computes ${supported.map((one) => JSON.stringify(one)).join(' or ')}`,
    )
}

const prefixed =
  (huggingFacePrefix: string) =>
  (huggingFace: string, gguf: string, change?: Rule['change']): Rule => ({
    huggingFace: `${huggingFacePrefix}.*.${huggingFace}`,
    gguf: `blk.*.${gguf}`,
    ...(change === undefined ? {} : { change }),
  })

const inGpt2 = prefixed('transformer.h')

export const gpt2: Architecture = {
  name: 'gpt2',
  families: ['gpt2'],
  rules: [
    { huggingFace: 'transformer.wte', gguf: 'token_embd' },
    { huggingFace: 'transformer.wpe', gguf: 'position_embd' },
    inGpt2('ln_1', 'attn_norm'),
    inGpt2('attn.c_attn', 'attn_qkv', conv1d),
    inGpt2('attn.c_proj', 'attn_output', conv1d),
    inGpt2('ln_2', 'ffn_norm'),
    inGpt2('mlp.c_fc', 'ffn_up', conv1d),
    inGpt2('mlp.c_proj', 'ffn_down', conv1d),
    { huggingFace: 'transformer.ln_f', gguf: 'output_norm' },
    { huggingFace: 'lm_head', gguf: 'output' },
  ],
  metadata(config, refuse) {
    const number = (key: string) => uint32(Number(config[key]))
    only(config, refuse, 'activation_function', 'gelu_new', 'gelu_pytorch_tanh', 'gelu_fast')
    only(config, refuse, 'scale_attn_weights', true)
    only(config, refuse, 'scale_attn_by_inverse_layer_idx', false)
    return {
      context_length: number('n_positions'),
      embedding_length: number('n_embd'),
      block_count: number('n_layer'),
      feed_forward_length: number('n_inner'),
      'attention.head_count': number('n_head'),
      'attention.layer_norm_epsilon': float32(Number(config.layer_norm_epsilon)),
      vocab_size: number('vocab_size'),
    }
  },
  config: (reader) => ({
    model_type: 'gpt2',
    vocab_size: reader.shapeOf('token_embd.weight')[0],
    n_positions: reader.number('context_length'),
    n_embd: reader.number('embedding_length'),
    n_layer: reader.number('block_count'),
    n_inner: reader.number('feed_forward_length'),
    n_head: reader.number('attention.head_count'),
    activation_function: 'gelu_new',
    layer_norm_epsilon: reader.number('attention.layer_norm_epsilon'),
    tie_word_embeddings: !reader.hasTensor('output.weight'),
  }),
}

const inNeox = prefixed('gpt_neox.layers')

/** Width of a head that turns, of a share of it. */
const turning = (config: Json, share: unknown): number =>
  Math.floor((Number(config.hidden_size) / Number(config.num_attention_heads)) * Number(share))

export const gptneox: Architecture = {
  name: 'gptneox',
  families: ['gpt_neox'],
  needsHead: true,
  rules: [
    { huggingFace: 'gpt_neox.embed_in', gguf: 'token_embd' },
    inNeox('input_layernorm', 'attn_norm'),
    inNeox('attention.query_key_value', 'attn_qkv', fusedHeads),
    inNeox('attention.dense', 'attn_output'),
    inNeox('post_attention_layernorm', 'ffn_norm'),
    inNeox('mlp.dense_h_to_4h', 'ffn_up'),
    inNeox('mlp.dense_4h_to_h', 'ffn_down'),
    { huggingFace: 'gpt_neox.final_layer_norm', gguf: 'output_norm' },
    { huggingFace: 'embed_out', gguf: 'output' },
  ],
  metadata(config, refuse) {
    const number = (key: string) => uint32(Number(config[key]))
    // llama.cpp takes the tanh form for both: the difference is below 5e-4 of an activation.
    only(config, refuse, 'hidden_act', 'gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh')
    only(config, refuse, 'attention_bias', true)
    return {
      context_length: number('max_position_embeddings'),
      embedding_length: number('hidden_size'),
      block_count: number('num_hidden_layers'),
      feed_forward_length: number('intermediate_size'),
      'attention.head_count': number('num_attention_heads'),
      'attention.layer_norm_epsilon': float32(Number(config.layer_norm_eps)),
      use_parallel_residual: bool(config.use_parallel_residual === true),
      vocab_size: number('vocab_size'),
      ...rotaryMetadata(config, turning(config, config.rotary_pct), refuse),
    }
  },
  config: (reader) => {
    const [hidden_size, heads] = [reader.number('embedding_length'), reader.number('attention.head_count')]
    const dims = reader.number('rope.dimension_count', hidden_size / heads)
    const { rope_theta, rope_scaling } = rotaryConfig(reader, dims)
    return {
      model_type: 'gpt_neox',
      vocab_size: reader.shapeOf('token_embd.weight')[0],
      hidden_size,
      num_hidden_layers: reader.number('block_count'),
      intermediate_size: reader.number('feed_forward_length'),
      num_attention_heads: heads,
      hidden_act: 'gelu',
      max_position_embeddings: reader.number('context_length'),
      layer_norm_eps: reader.number('attention.layer_norm_epsilon'),
      use_parallel_residual: reader.flag('use_parallel_residual', true),
      attention_bias: true,
      rotary_pct: (dims / hidden_size) * heads,
      rotary_emb_base: rope_theta,
      ...(rope_scaling === undefined ? {} : { rope_scaling }),
      tie_word_embeddings: false,
    }
  },
}

const inStableLm = prefixed('model.layers')

export const stablelm: Architecture = {
  name: 'stablelm',
  families: ['stablelm', 'stablelm_epoch'],
  needsHead: true,
  rules: [
    { huggingFace: 'model.embed_tokens', gguf: 'token_embd' },
    inStableLm('input_layernorm', 'attn_norm'),
    inStableLm('self_attn.q_proj', 'attn_q'),
    inStableLm('self_attn.k_proj', 'attn_k'),
    inStableLm('self_attn.v_proj', 'attn_v'),
    inStableLm('self_attn.o_proj', 'attn_output'),
    inStableLm('self_attn.q_layernorm.norms.#', 'attn_q_norm'),
    inStableLm('self_attn.k_layernorm.norms.#', 'attn_k_norm'),
    inStableLm('post_attention_layernorm', 'ffn_norm'),
    inStableLm('mlp.gate_proj', 'ffn_gate'),
    inStableLm('mlp.up_proj', 'ffn_up'),
    inStableLm('mlp.down_proj', 'ffn_down'),
    { huggingFace: 'model.norm', gguf: 'output_norm' },
    { huggingFace: 'lm_head', gguf: 'output' },
  ],
  metadata(config, refuse) {
    const number = (key: string) => uint32(Number(config[key]))
    only(config, refuse, 'hidden_act', 'silu')
    const share = config.partial_rotary_factor ?? config.rope_pct
    return {
      context_length: number('max_position_embeddings'),
      embedding_length: number('hidden_size'),
      block_count: number('num_hidden_layers'),
      feed_forward_length: number('intermediate_size'),
      'attention.head_count': number('num_attention_heads'),
      'attention.head_count_kv': number('num_key_value_heads'),
      'attention.layer_norm_epsilon': float32(Number(config.layer_norm_eps ?? config.norm_eps)),
      use_parallel_residual: bool(config.use_parallel_residual === true),
      vocab_size: number('vocab_size'),
      ...rotaryMetadata(config, turning(config, share), refuse),
    }
  },
  config: (reader) => {
    const [hidden_size, heads] = [reader.number('embedding_length'), reader.number('attention.head_count')]
    const dims = reader.number('rope.dimension_count', hidden_size / heads)
    return {
      model_type: 'stablelm',
      vocab_size: reader.shapeOf('token_embd.weight')[0],
      hidden_size,
      num_hidden_layers: reader.number('block_count'),
      intermediate_size: reader.number('feed_forward_length'),
      num_attention_heads: heads,
      num_key_value_heads: reader.number('attention.head_count_kv', heads),
      hidden_act: 'silu',
      max_position_embeddings: reader.number('context_length'),
      layer_norm_eps: reader.number('attention.layer_norm_epsilon'),
      // llama.cpp's graph goes by the tensors: a block without a norm of its own for the feed-forward part is parallel.
      use_parallel_residual: !reader.hasTensor('blk.0.ffn_norm.weight'),
      use_qkv_bias: reader.hasTensor('blk.0.attn_q.bias'),
      qk_layernorm: reader.hasTensor('blk.0.attn_q_norm.weight'),
      partial_rotary_factor: (dims / hidden_size) * heads,
      tie_word_embeddings: false,
      ...rotaryConfig(reader, dims),
    }
  },
}
