// Configuration of the conditional U-Net: diffusers' keys on the outside, our names inside. One value that holds for all
// levels and a list with one a level mean the same.
import { ConfigReader } from '../config-reader.js'

/** One resolution of the U-Net. */
export interface UnetLevel {
  channels: number
  /** Transformer blocks after each residual block; 0 where the level has no attention on the way down, and on the way up. */
  depthDown: number
  depthUp: number
  heads: number
}

export interface UnetConfig {
  /** Of the latent image: 4, or 9 with a mask and the masked image beside it. */
  inChannels: number
  outChannels: number
  /** Pixels a side of the latent images that it was trained on, where the file says so. */
  sampleSize: number | undefined
  levels: UnetLevel[]
  /** Transformer blocks in the middle. */
  depthMiddle: number
  residualBlocks: number
  /** Width of the text's states. */
  contextWidth: number
  groups: number
  eps: number
  /** The projections around the transformer are linear layers in the file, not 1 × 1 convolutions: the same maths. */
  linearProjection: boolean
  cosineFirst: boolean
  frequencyShift: number
  /** XL: the pooled text and the image's sizes join the time. */
  added: { timeWidth: number; inputWidth: number } | undefined
}

const DOWN = ['CrossAttnDownBlock2D', 'DownBlock2D'] as const
const UP = ['CrossAttnUpBlock2D', 'UpBlock2D'] as const

/** A number for all levels, or one for each. */
function perLevel(reader: ConfigReader, key: string, fallback: number, count: number): number[] {
  return Array.isArray(reader.value(key))
    ? [...reader.factors(key, count)]
    : Array<number>(count).fill(reader.integer(key, fallback))
}

function channelsOf(reader: ConfigReader): number[] {
  const value = reader.value('block_out_channels') ?? [320, 640, 1280, 1280]
  const count = Array.isArray(value) ? value.length : 0
  if (count > 0 && reader.has('block_out_channels')) return [...reader.factors('block_out_channels', count)]
  if (count === 0) reader.issue('block_out_channels', 'must be a list of numbers above 0')
  return value as number[]
}

/** What changes the maths in a way that is not built. */
function refuseOthers(reader: ConfigReader): void {
  reader.only('center_input_sample', false)
  reader.only('mid_block_type', 'UNetMidBlock2DCrossAttn')
  reader.only('only_cross_attention', false)
  reader.only('act_fn', 'silu', 'swish')
  reader.only('dual_cross_attention', false)
  reader.only('class_embed_type')
  reader.only('num_class_embeds')
  reader.only('encoder_hid_dim')
  reader.only('encoder_hid_dim_type')
  reader.only('resnet_time_scale_shift', 'default')
  reader.only('time_embedding_type', 'positional')
  reader.only('timestep_post_act')
  reader.only('time_cond_proj_dim')
  reader.only('conv_in_kernel', 3)
  reader.only('conv_out_kernel', 3)
  reader.only('downsample_padding', 1)
  reader.only('mid_block_scale_factor', 1)
  reader.only('addition_embed_type', 'text_time')
  reader.only('attention_type', 'default')
}

function levelsOf(reader: ConfigReader): UnetLevel[] {
  const channels = channelsOf(reader)
  const count = channels.length
  const attends = (length: number) => Array.from({ length }, (_, i) => i < length - 1)
  const down = reader.list('down_block_types', DOWN, count)?.map((type) => type === DOWN[0]) ?? attends(count)
  const up = reader.list('up_block_types', UP, count)?.map((type) => type === UP[0]) ?? attends(count).reverse()
  const depths = perLevel(reader, 'transformer_layers_per_block', 1, count)
  // Historically `attention_head_dim` is the number of heads.
  const heads = perLevel(reader, reader.first('num_attention_heads', 'attention_head_dim'), 8, count)
  return channels.map((width, i) => ({
    channels: width,
    depthDown: down[i] ? depths[i]! : 0,
    depthUp: up[count - 1 - i] ? depths[i]! : 0,
    heads: heads[i]!,
  }))
}

/** Reads config.json; see ImagePart.parseConfig. */
export function parseConfig(json: unknown, where = 'U-Net configuration'): UnetConfig {
  const reader = new ConfigReader(json, where)
  refuseOthers(reader)
  const levels = levelsOf(reader)
  const groups = reader.integer('norm_num_groups', 32)
  for (const { channels, heads } of levels) {
    reader.divides('norm_num_groups', groups, 'block_out_channels', channels)
    reader.divides('attention_head_dim', heads, 'block_out_channels', channels)
  }
  const added = reader.has('addition_embed_type')
    ? {
        timeWidth: reader.integer('addition_time_embed_dim', 256),
        inputWidth: reader.integer('projection_class_embeddings_input_dim', 2816),
      }
    : undefined
  const depths = reader.value('transformer_layers_per_block')
  const config: UnetConfig = {
    inChannels: reader.integer('in_channels', 4),
    outChannels: reader.integer('out_channels', 4),
    sampleSize: reader.optional('sample_size', undefined),
    levels,
    depthMiddle: Array.isArray(depths) ? Number(depths.at(-1)) : reader.integer('transformer_layers_per_block', 1),
    residualBlocks: reader.integer('layers_per_block', 2, { max: 100 }),
    contextWidth: reader.integer('cross_attention_dim', 1280),
    groups,
    eps: reader.positive('norm_eps', 1e-5),
    linearProjection: reader.flag('use_linear_projection', false),
    cosineFirst: reader.flag('flip_sin_to_cos', true),
    frequencyShift: reader.integer('freq_shift', 0, { min: 0 }),
    added,
  }
  reader.finish()
  return config
}
