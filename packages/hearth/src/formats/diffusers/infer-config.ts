// The configurations of the parts of a single-file checkpoint, which has none in it: they follow from the names and
// shapes, but for the few that nothing shows, which are the published ones. Names are diffusers' here already.
import type { StoredTensor } from '../../models/index.js'

type Stored = ReadonlyMap<string, StoredTensor>

/** How many numbers follow `prefix` from 0 on, as in `down_blocks.0.`, `down_blocks.1.`. */
export function countOf(names: Iterable<string>, prefix: string): number {
  let count = 0
  for (const name of names) {
    const number = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : NaN
    if (number >= count) count = number + 1
  }
  return count
}

const size = (stored: Stored, name: string, dim: number): number | undefined => stored.get(name)?.shape[dim]

/** Width of a head of 2.x and XL; 1.x has eight heads at all levels. */
const HEAD = 64

export function inferUnet(stored: Stored): Record<string, unknown> {
  const names = [...stored.keys()]
  const levels = Array.from({ length: countOf(names, 'down_blocks.') }, (_, i) => i)
  const channels = levels.map((i) => size(stored, `down_blocks.${i}.resnets.0.conv2.weight`, 0))
  const depth = (part: string) => countOf(names, `${part}.attentions.0.transformer_blocks.`)
  const down = levels.map((i) => depth(`down_blocks.${i}`))
  const up = levels.map((i) => depth(`up_blocks.${i}`))
  const text = names.find((name) => name.endsWith('transformer_blocks.0.attn2.to_k.weight'))
  const linear = names.some((name) => name.endsWith('.proj_in.weight') && stored.get(name)!.shape.length === 2)
  const addedWidth = size(stored, 'add_embedding.linear_1.weight', 1)
  return {
    in_channels: size(stored, 'conv_in.weight', 1),
    out_channels: size(stored, 'conv_out.weight', 0),
    block_out_channels: channels,
    layers_per_block: countOf(names, 'down_blocks.0.resnets.'),
    down_block_types: down.map((depth) => (depth > 0 ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    up_block_types: up.map((depth) => (depth > 0 ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    // A level without attention takes part in no product; the last one says the depth of the middle too.
    transformer_layers_per_block: down.map((depth, i) => depth || (i === levels.length - 1 ? mid(names) : 1)),
    cross_attention_dim: text === undefined ? undefined : size(stored, text, 1),
    use_linear_projection: linear,
    attention_head_dim: linear ? channels.map((width) => Math.max(1, Math.floor((width ?? 0) / HEAD))) : 8,
    ...(addedWidth !== undefined && {
      addition_embed_type: 'text_time',
      addition_time_embed_dim: 256,
      projection_class_embeddings_input_dim: addedWidth,
    }),
  }
}

const mid = (names: readonly string[]): number =>
  Math.max(1, countOf(names, 'mid_block.attentions.0.transformer_blocks.'))

export function inferVae(stored: Stored, xl: boolean): Record<string, unknown> {
  const names = [...stored.keys()]
  const levels = Array.from({ length: countOf(names, 'encoder.down_blocks.') }, (_, i) => i)
  return {
    in_channels: size(stored, 'encoder.conv_in.weight', 1),
    latent_channels: size(stored, 'decoder.conv_in.weight', 1),
    block_out_channels: levels.map((i) => size(stored, `encoder.down_blocks.${i}.resnets.0.conv2.weight`, 0)),
    down_block_types: levels.map(() => 'DownEncoderBlock2D'),
    up_block_types: levels.map(() => 'UpDecoderBlock2D'),
    layers_per_block: countOf(names, 'encoder.down_blocks.0.resnets.'),
    use_quant_conv: stored.has('quant_conv.weight'),
    use_post_quant_conv: stored.has('post_quant_conv.weight'),
    scaling_factor: xl ? 0.13025 : 0.18215,
  }
}

/** @param open whether it is an OpenCLIP: another activation than OpenAI's */
export function inferText(stored: Stored, open: boolean): Record<string, unknown> {
  const at = 'text_model'
  const [vocabulary, width] = stored.get(`${at}.embeddings.token_embedding.weight`)?.shape ?? []
  const projection = size(stored, 'text_projection.weight', 0)
  return {
    architectures: [projection === undefined ? 'CLIPTextModel' : 'CLIPTextModelWithProjection'],
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: size(stored, `${at}.encoder.layers.0.mlp.fc1.weight`, 0),
    num_hidden_layers: countOf(stored.keys(), `${at}.encoder.layers.`),
    num_attention_heads: Math.max(1, Math.floor((width ?? 0) / HEAD)),
    max_position_embeddings: size(stored, `${at}.embeddings.position_embedding.weight`, 0),
    hidden_act: open ? 'gelu' : 'quick_gelu',
    projection_dim: projection,
    // The end is the last token of CLIP's vocabulary.
    eos_token_id: vocabulary === undefined ? undefined : vocabulary - 1,
  }
}
