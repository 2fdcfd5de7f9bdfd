// A random Stable Diffusion small enough for tests, as a folder of diffusers and as a single-file checkpoint.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeSafetensors, type Tensor } from '@hearth/torch'
import { clipText, initialise, unet, vae, type ImagePart } from '../src/models/index.js'
import { channelsSecond } from '../src/nn/index.js'

export type TinyKind = 'sd1' | 'sd2' | 'xl' | 'inpainting'

/** By diffusers' names, in the shapes of PyTorch. */
type Named = Record<string, Tensor>

const BETAS = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', num_train_timesteps: 1000 }

const text = (projection: boolean) => ({
  architectures: [projection ? 'CLIPTextModelWithProjection' : 'CLIPTextModel'],
  vocab_size: 516,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 1,
  max_position_embeddings: 77,
  hidden_act: 'quick_gelu',
  eos_token_id: 515,
  ...(projection && { projection_dim: 48, hidden_act: 'gelu' }),
})

function unetConfig(kind: TinyKind): Record<string, unknown> {
  const linear = kind === 'sd2' || kind === 'xl'
  return {
    _class_name: 'UNet2DConditionModel',
    in_channels: kind === 'inpainting' ? 9 : 4,
    out_channels: 4,
    sample_size: 8,
    block_out_channels: [32, 64],
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
    layers_per_block: 1,
    cross_attention_dim: kind === 'xl' ? 128 : 64,
    attention_head_dim: linear ? [1, 1] : 8,
    use_linear_projection: linear,
    ...(kind === 'xl' && {
      addition_embed_type: 'text_time',
      addition_time_embed_dim: 256,
      projection_class_embeddings_input_dim: 48 + 6 * 256,
    }),
  }
}

const VAE = {
  _class_name: 'AutoencoderKL',
  block_out_channels: [32, 32, 32, 32],
  down_block_types: Array<string>(4).fill('DownEncoderBlock2D'),
  up_block_types: Array<string>(4).fill('UpDecoderBlock2D'),
  layers_per_block: 1,
}

function namedWeights<Config>(part: ImagePart<Config>, json: object, seed: number): Named {
  const named: Named = {}
  const random = initialise({ seed })
  part.build(part.parseConfig(json), {
    tensor: (path, shape, init) => {
      const made = random.tensor(path, shape, init)
      named[path] = shape.length === 4 ? channelsSecond(made).contiguous() : made
      return made
    },
  })
  return named
}

function writeJson(folder: string, name: string, json: unknown): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), JSON.stringify(json, undefined, 2))
}

/** The characters that stand for the 256 bytes: themselves where they can be seen, others from 256 on. */
const BYTES = Array.from({ length: 256 }, (_, byte) => byte)
  .filter((byte) => !(byte > 32 && byte < 127) && !(byte > 160 && byte !== 173))
  .map((_, i) => String.fromCharCode(256 + i))
  .concat(
    Array.from('!"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~'),
  )
  .concat(Array.from({ length: 95 }, (_, i) => String.fromCharCode(161 + i)).filter((letter) => letter !== '\u00ad'))

/** All bytes, and `cat`. */
export function writeTinyTokenizer(folder: string): void {
  const tokens = [...BYTES, ...BYTES.map((byte) => `${byte}</w>`), 'ca', 'cat</w>']
  const all = [...tokens, '<|startoftext|>', '<|endoftext|>']
  writeJson(folder, 'vocab.json', Object.fromEntries(all.map((token, id) => [token, id])))
  writeFileSync(join(folder, 'merges.txt'), '#version: 0.2\nc a\nca t</w>\n')
  writeJson(folder, 'special_tokens_map.json', { pad_token: '<|endoftext|>' })
}

export interface TinyModel {
  unet: Named
  vae: Named
  texts: Named[]
}

/** The weights that a seed gives; the folder and the checkpoint of the same seed hold the same. */
export function tinyWeights(kind: TinyKind, seed = 1): TinyModel {
  const convolved = unetConfig(kind).use_linear_projection === false
  const net = Object.entries(namedWeights(unet, unetConfig(kind), seed)).map(([name, weight]) => [
    name,
    convolved && /\.proj_(in|out)\.weight$/.test(name) ? weight.view([...weight.shape, 1, 1]) : weight,
  ])
  return {
    unet: Object.fromEntries(net) as Named,
    vae: namedWeights(vae, VAE, seed + 1),
    texts: (kind === 'xl' ? [false, true] : [false]).map((projection, i) =>
      namedWeights(clipText, text(projection), seed + 2 + i),
    ),
  }
}

/** Writes a folder of diffusers. */
export function writeTinyFolder(folder: string, kind: TinyKind = 'sd1', seed = 1): void {
  const { unet, vae, texts } = tinyWeights(kind, seed)
  const encoders = texts.map((_, i) => (i === 0 ? 'text_encoder' : `text_encoder_${i + 1}`))
  writeJson(folder, 'model_index.json', {
    _class_name: kind === 'xl' ? 'StableDiffusionXLPipeline' : 'StableDiffusionPipeline',
    ...Object.fromEntries(encoders.map((name) => [name, ['transformers', 'CLIPTextModel']])),
    ...(kind === 'xl' && { force_zeros_for_empty_prompt: true }),
  })
  writeJson(join(folder, 'unet'), 'config.json', unetConfig(kind))
  writeSafetensors(join(folder, 'unet', 'diffusion_pytorch_model.safetensors'), unet)
  writeJson(join(folder, 'vae'), 'config.json', { ...VAE, scaling_factor: kind === 'xl' ? 0.13025 : 0.18215 })
  writeSafetensors(join(folder, 'vae', 'diffusion_pytorch_model.safetensors'), vae)
  for (const [i, name] of encoders.entries()) {
    writeJson(join(folder, name), 'config.json', text(i > 0))
    writeSafetensors(join(folder, name, 'model.safetensors'), texts[i]!)
    writeTinyTokenizer(join(folder, name.replace('text_encoder', 'tokenizer')))
  }
  writeJson(join(folder, 'scheduler'), 'scheduler_config.json', { _class_name: 'EulerDiscreteScheduler', ...BETAS })
}

type Pairs = readonly (readonly [string, string])[]
const translate = (name: string, pairs: Pairs): string =>
  pairs.reduce(
    (name, [from, to]) => (name.startsWith(from) || from.startsWith('.') ? name.replace(from, to) : name),
    name,
  )

/** diffusers' names of the U-Net above in those of the first code, from its listing of blocks. */
const UNET_PLACES: Pairs = [
  ['conv_in.', 'input_blocks.0.0.'],
  ['time_embedding.linear_1.', 'time_embed.0.'],
  ['time_embedding.linear_2.', 'time_embed.2.'],
  ['add_embedding.linear_1.', 'label_emb.0.0.'],
  ['add_embedding.linear_2.', 'label_emb.0.2.'],
  ['down_blocks.0.resnets.0.', 'input_blocks.1.0.'],
  ['down_blocks.0.attentions.0.', 'input_blocks.1.1.'],
  ['down_blocks.0.downsamplers.0.conv.', 'input_blocks.2.0.op.'],
  ['down_blocks.1.resnets.0.', 'input_blocks.3.0.'],
  ['mid_block.resnets.0.', 'middle_block.0.'],
  ['mid_block.attentions.0.', 'middle_block.1.'],
  ['mid_block.resnets.1.', 'middle_block.2.'],
  ['up_blocks.0.resnets.0.', 'output_blocks.0.0.'],
  ['up_blocks.0.resnets.1.', 'output_blocks.1.0.'],
  ['up_blocks.0.upsamplers.0.conv.', 'output_blocks.1.1.conv.'],
  ['up_blocks.1.resnets.0.', 'output_blocks.2.0.'],
  ['up_blocks.1.attentions.0.', 'output_blocks.2.1.'],
  ['up_blocks.1.resnets.1.', 'output_blocks.3.0.'],
  ['up_blocks.1.attentions.1.', 'output_blocks.3.1.'],
  ['conv_norm_out.', 'out.0.'],
  ['conv_out.', 'out.2.'],
]

const RESIDUAL: Pairs = [
  ['.0.norm1.', '.0.in_layers.0.'],
  ['.0.conv1.', '.0.in_layers.2.'],
  ['.0.time_emb_proj.', '.0.emb_layers.1.'],
  ['.0.norm2.', '.0.out_layers.0.'],
  ['.0.conv2.', '.0.out_layers.3.'],
  ['.0.conv_shortcut.', '.0.skip_connection.'],
]

function originalUnet(name: string): string {
  const placed = translate(name, UNET_PLACES)
  const inResidual = /^(input|output)_blocks\.\d+\.0\.|^middle_block\.[02]\./.test(placed)
  if (!inResidual) return placed
  const [, head, below] = /^(\w+\.\d+(?:\.0)?)\.(.*)$/.exec(placed)!
  return `${head}${translate(`.0.${below}`, RESIDUAL).slice('.0'.length)}`
}

function originalVae(name: string): string {
  return name
    .replace('encoder.down_blocks', 'encoder.down')
    .replace(/decoder\.up_blocks\.(\d)/, (_, level: string) => `decoder.up.${3 - Number(level)}`)
    .replace('mid_block.resnets.0', 'mid.block_1')
    .replace('mid_block.resnets.1', 'mid.block_2')
    .replace('mid_block.attentions.0.group_norm', 'mid.attn_1.norm')
    .replace(/mid_block\.attentions\.0\.to_([qkv])/, 'mid.attn_1.$1')
    .replace('mid_block.attentions.0.to_out.0', 'mid.attn_1.proj_out')
    .replace('resnets', 'block')
    .replace('conv_shortcut', 'nin_shortcut')
    .replace('samplers.0', 'sample')
    .replace('conv_norm_out', 'norm_out')
}

/** OpenCLIP's names, its three projections in one tensor, its head turned. */
function originalOpenClip(named: Named, cat: (tensors: Tensor[]) => Tensor): Named {
  const original: Named = { logit_scale: named['text_model.final_layer_norm.bias']!.narrow(0, 0, 1).contiguous() }
  for (const [name, weight] of Object.entries(named)) {
    const at = /^text_model\.encoder\.layers\.(\d+)\.(.+)$/.exec(name)
    const below = at?.[2]
    const layer = `transformer.resblocks.${at?.[1]}`
    if (below === undefined && name === 'text_projection.weight') original.text_projection = weight.t().contiguous()
    else if (below === undefined)
      original[
        name
          .replace('text_model.embeddings.token_embedding', 'token_embedding')
          .replace('text_model.embeddings.position_embedding.weight', 'positional_embedding')
          .replace('text_model.final_layer_norm', 'ln_final')
      ] = weight
    else if (below.includes('_proj.') && !below.includes('out_proj')) {
      const [, kind] = /\.(weight|bias)$/.exec(below)!
      const parts = ['q', 'k', 'v'].map((part) => named[name.replace(/self_attn\.[qkv]_/, `self_attn.${part}_`)]!)
      original[`${layer}.attn.in_proj_${kind}`] = cat(parts)
    } else
      original[
        `${layer}.${below
          .replace('layer_norm', 'ln_')
          .replace('mlp.fc1', 'mlp.c_fc')
          .replace('mlp.fc2', 'mlp.c_proj')
          .replace('self_attn.out_proj', 'attn.out_proj')}`
      ] = weight
  }
  return original
}

const prefixed = (prefix: string, named: Named): Named =>
  Object.fromEntries(Object.entries(named).map(([name, weight]) => [prefix + name, weight]))
const renamed = (named: Named, to: (name: string) => string): Named =>
  Object.fromEntries(Object.entries(named).map(([name, weight]) => [to(name), weight]))

/** The tensors of a single-file checkpoint of the first code. */
export function tinyCheckpoint(kind: TinyKind, cat: (tensors: Tensor[]) => Tensor, seed = 1): Named {
  const { unet, vae, texts } = tinyWeights(kind, seed)
  const open = (i: number) => originalOpenClip(texts[i]!, cat)
  const attention = /mid\.attn_1\.(q|k|v|proj_out)\.weight$/
  const pictures = Object.entries(renamed(vae, originalVae)).map(([name, weight]) => [
    name,
    attention.test(name) ? weight.view([...weight.shape, 1, 1]) : weight,
  ])
  const encoders =
    kind === 'sd2'
      ? prefixed('cond_stage_model.model.', open(0))
      : kind === 'xl'
        ? {
            ...prefixed('conditioner.embedders.0.transformer.', texts[0]!),
            ...prefixed('conditioner.embedders.1.model.', open(1)),
          }
        : prefixed('cond_stage_model.transformer.', texts[0]!)
  return {
    ...prefixed('model.diffusion_model.', renamed(unet, originalUnet)),
    ...prefixed('first_stage_model.', Object.fromEntries(pictures) as Named),
    ...encoders,
  }
}
