// Configuration of the autoencoder: diffusers' keys on the outside, our names inside.
import { ConfigReader } from '../config-reader.js'

export interface VaeConfig {
  imageChannels: number
  latentChannels: number
  /** By level, the largest picture first. */
  channels: number[]
  residualBlocks: number
  groups: number
  /** Latent numbers are multiplied by this for the U-Net, after `shift` was taken away. */
  scale: number
  shift: number
  /** A 1 × 1 convolution between the encoder and the latent numbers, and one before the decoder. */
  quantConv: boolean
  postQuantConv: boolean
  middleAttention: boolean
  /** Its sums overflow in float16. */
  forceUpcast: boolean
}

/** Reads config.json; see ImagePart.parseConfig. */
export function parseConfig(json: unknown, where = 'autoencoder configuration'): VaeConfig {
  const reader = new ConfigReader(json, where)
  const widths = reader.value('block_out_channels') ?? [64]
  const count = Array.isArray(widths) ? widths.length : 1
  const down = reader.list('down_block_types', ['DownEncoderBlock2D'], count)
  const up = reader.list('up_block_types', ['UpDecoderBlock2D'], count)
  if (!Array.isArray(widths) || (count > 1 && (down ?? up) === undefined))
    reader.issue('down_block_types', `must be a list with DownEncoderBlock2D for each of ${count} levels`)
  reader.only('act_fn', 'silu', 'swish')
  const groups = reader.integer('norm_num_groups', 32)
  const channels = reader.has('block_out_channels') ? [...reader.factors('block_out_channels', count)] : [64]
  for (const each of channels) reader.divides('norm_num_groups', groups, 'block_out_channels', each)
  const shift = reader.value('shift_factor') ?? 0
  if (typeof shift !== 'number') reader.issue('shift_factor', 'must be a number')
  const config: VaeConfig = {
    imageChannels: reader.integer('in_channels', 3),
    latentChannels: reader.integer('latent_channels', 4),
    channels,
    residualBlocks: reader.integer('layers_per_block', 1, { max: 100 }),
    groups,
    scale: reader.positive('scaling_factor', 0.18215),
    shift: Number(shift),
    quantConv: reader.flag('use_quant_conv', true),
    postQuantConv: reader.flag('use_post_quant_conv', true),
    middleAttention: reader.flag('mid_block_add_attention', true),
    forceUpcast: reader.flag('force_upcast', true),
  }
  reader.finish()
  return config
}
