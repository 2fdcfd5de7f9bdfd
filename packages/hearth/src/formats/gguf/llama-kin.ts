// LLaMA and those that share its layers: Mistral, Mixtral (mixture of experts), Qwen2 and Qwen3.
import type { Architecture, Change, Json, Refuse, Rule } from './architecture.js'
import { rotaryKeys, rotaryQueries } from './changes.js'
import type { MetadataReader } from './metadata-reader.js'
import { rotaryConfig, rotaryMetadata, rotaryTensors } from './rotary-keys.js'
import { float32, uint32, type TypedValue } from './values.js'

const block = (huggingFace: string, gguf: string, change?: Change): Rule => ({
  huggingFace: `model.layers.*.${huggingFace}`,
  gguf: `blk.*.${gguf}`,
  ...(change === undefined ? {} : { change }),
})

/** @param turned queries and keys are in llama.cpp's own order of rotary pairs */
const rules = (turned: boolean): Rule[] => [
  { huggingFace: 'model.embed_tokens', gguf: 'token_embd' },
  block('input_layernorm', 'attn_norm'),
  block('self_attn.q_proj', 'attn_q', turned ? rotaryQueries : undefined),
  block('self_attn.k_proj', 'attn_k', turned ? rotaryKeys : undefined),
  block('self_attn.v_proj', 'attn_v'),
  block('self_attn.o_proj', 'attn_output'),
  block('self_attn.q_norm', 'attn_q_norm'),
  block('self_attn.k_norm', 'attn_k_norm'),
  block('post_attention_layernorm', 'ffn_norm'),
  block('mlp.gate_proj', 'ffn_gate'),
  block('mlp.up_proj', 'ffn_up'),
  block('mlp.down_proj', 'ffn_down'),
  block('block_sparse_moe.gate', 'ffn_gate_inp'),
  block('block_sparse_moe.experts.#.w1', 'ffn_gate_exps'),
  block('block_sparse_moe.experts.#.w3', 'ffn_up_exps'),
  block('block_sparse_moe.experts.#.w2', 'ffn_down_exps'),
  { huggingFace: 'model.norm', gguf: 'output_norm' },
  { huggingFace: 'lm_head', gguf: 'output' },
]

const headDimOf = (config: Json): number =>
  Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads))

/** llama.cpp attends to everything before: up to the length of a sliding window that is the same. */
const contextOf = ({ max_position_embeddings: context, sliding_window: window }: Json): number =>
  typeof window === 'number' ? Math.min(Number(context), window) : Number(context)

function metadata(config: Json, refuse: Refuse): Record<string, TypedValue> {
  const number = (key: string) => uint32(Number(config[key]))
  const headDim = headDimOf(config)
  if (config.hidden_act !== 'silu')
    refuse('hidden_act', `${JSON.stringify(config.hidden_act)}, where llama.cpp computes silu`)
  return {
    context_length: uint32(contextOf(config)),
    embedding_length: number('hidden_size'),
    block_count: number('num_hidden_layers'),
    feed_forward_length: number('intermediate_size'),
    'attention.head_count': number('num_attention_heads'),
    'attention.head_count_kv': number('num_key_value_heads'),
    'attention.key_length': uint32(headDim),
    'attention.value_length': uint32(headDim),
    'attention.layer_norm_rms_epsilon': float32(Number(config.rms_norm_eps)),
    vocab_size: number('vocab_size'),
    ...(config.num_local_experts === undefined
      ? {}
      : { expert_count: number('num_local_experts'), expert_used_count: number('num_experts_per_tok') }),
    ...rotaryMetadata(config, headDim, refuse),
  }
}

function config(reader: MetadataReader): Json {
  const [vocab_size = NaN] = reader.shapeOf('token_embd.weight')
  const heads = reader.number('attention.head_count')
  const hidden_size = reader.number('embedding_length')
  const head_dim = reader.number('attention.key_length', hidden_size / heads)
  const experts = reader.number('expert_count', 0)
  if (reader.number('rope.dimension_count', head_dim) !== head_dim)
    reader.issue('rope.dimension_count', `must be the width of a head, ${head_dim}`)
  return {
    vocab_size,
    hidden_size,
    num_hidden_layers: reader.number('block_count'),
    intermediate_size: reader.number('feed_forward_length'),
    num_attention_heads: heads,
    num_key_value_heads: reader.number('attention.head_count_kv', heads),
    head_dim,
    hidden_act: 'silu',
    max_position_embeddings: reader.number('context_length'),
    rms_norm_eps: reader.number('attention.layer_norm_rms_epsilon'),
    tie_word_embeddings: !reader.hasTensor('output.weight'),
    ...rotaryConfig(reader, head_dim),
    ...(experts > 0 ? { num_local_experts: experts, num_experts_per_tok: reader.number('expert_used_count') } : {}),
  }
}

export const llama: Architecture = {
  name: 'llama',
  families: ['llama', 'mistral', 'mixtral'],
  rules: rules(true),
  metadata,
  extraTensors: (config) => rotaryTensors(config, headDimOf(config)),
  config: (reader) => ({
    ...config(reader),
    model_type: reader.number('expert_count', 0) > 0 ? 'mixtral' : 'llama',
    attention_bias: reader.hasTensor('blk.0.attn_q.bias'),
    mlp_bias: reader.hasTensor('blk.0.ffn_gate.bias'),
  }),
}

const qwen = (name: string): Architecture => ({
  name,
  families: [name],
  rules: rules(false),
  metadata,
  config: (reader) => ({ ...config(reader), model_type: name, attention_bias: reader.hasTensor('blk.0.attn_q.bias') }),
})

export const qwen2 = qwen('qwen2')
export const qwen3 = qwen('qwen3')
