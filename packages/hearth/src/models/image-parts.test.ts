// The networks of Stable Diffusion against what PyTorch recorded (fixtures/record_images.py).
import { noGrad, scope, zeros, type DType, type SafetensorsFile, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedJson, recordedTensors, relativeDistance } from '../../test/recorded.js'
import { channelsLast, channelsSecond } from '../nn/index.js'
import { clipText, countWeights, loadPart, unet, vae, type ImagePart, type StoredTensor } from './index.js'

/** The bars of the issue. */
const BARS = [
  ['float32', 1e-4],
  ['bfloat16', 2e-2],
] as const

const PREFIX = 'weight.'

function storedWeights(file: SafetensorsFile): Map<string, StoredTensor> {
  const entries = [...file.entries].filter(([name]) => name.startsWith(PREFIX))
  const stored = entries.map(([name, { shape, dtype }]): [string, StoredTensor] => [
    name.slice(PREFIX.length),
    { shape, dtype, file: 'recorded', read: () => file.tensor(name) },
  ])
  return new Map(stored)
}

function open<Config, Weights>(part: ImagePart<Config, Weights>, name: string, dtype: DType) {
  const file = recordedTensors(`images/${name}.safetensors`)
  const config = part.parseConfig(recordedJson(`images/${name}.json`))
  const weights = loadPart(part, config, storedWeights(file), { dtype, where: name })
  const input = (role: string): Tensor => file.tensor(`input.${role}`).to(dtype)
  const image = (role: string): Tensor => channelsLast(input(role)).contiguous()
  return { config, weights, file, input, image, has: (role: string) => file.entries.has(`input.${role}`) }
}

describe.each(BARS)('in %s', (dtype, bar) => {
  const near = (got: Tensor, want: Tensor) => expect(relativeDistance(got.to('float32'), want)).toBeLessThan(bar)

  test.each(['unet_sd1', 'unet_sd2', 'unet_xl'])('the U-Net %s is PyTorch’s', (name) => {
    noGrad(() =>
      scope(() => {
        const { config, weights, file, input, image, has } = open(unet, name, dtype)
        const added = has('pooled') ? { pooled: input('pooled'), sizes: file.tensor('input.sizes') } : undefined
        const text = { text: input('text'), ...(added && { added }) }
        const even = unet.forward(weights, config, { image: image('image'), time: 981, ...text })
        near(channelsSecond(even), file.tensor('output'))
        const odd = unet.forward(weights, config, { image: image('odd'), time: 1, ...text })
        near(channelsSecond(odd), file.tensor('output.odd'))
      }),
    )
  })

  test('the autoencoder is PyTorch’s, there and back', () => {
    noGrad(() =>
      scope(() => {
        const { config, weights, file, image } = open(vae, 'vae', dtype)
        const { mean, logVariance } = vae.encode(weights, config, image('picture'))
        near(channelsSecond(mean), file.tensor('mean'))
        near(channelsSecond(logVariance), file.tensor('logVariance'))
        near(channelsSecond(vae.decode(weights, config, image('latents'))), file.tensor('decoded'))
      }),
    )
  })

  test.each(['clip_l', 'clip_h', 'clip_g'])('the text encoder %s is PyTorch’s', (name) => {
    noGrad(() =>
      scope(() => {
        const { config, weights, file } = open(clipText, name, dtype)
        const { states, sequence, pooled } = clipText.forward(weights, config, file.tensor('input.ids'))
        near(states.at(-2)!, file.tensor('before'))
        near(sequence, file.tensor('sequence'))
        near(pooled, file.tensor('pooled'))
      }),
    )
  })
})

describe('the weights of a part', () => {
  const file = recordedTensors('images/vae.safetensors')
  const config = vae.parseConfig(recordedJson('images/vae.json'))

  test('are found under the names of before 2023 too', () => {
    const former = new Map(
      [...storedWeights(file)].map(([name, stored]) => [
        name.replace('.to_q.', '.query.').replace('.to_out.0.', '.proj_attn.'),
        stored,
      ]),
    )
    expect(former.has('encoder.mid_block.attentions.0.proj_attn.weight')).toBe(true)
    expect(loadPart(vae, config, former).encoder.middle.attention!.out.weight.shape).toEqual([16, 16])
  })

  test('that do not fit are listed all at once', () => {
    const stored = storedWeights(file)
    const wrong: StoredTensor = { ...stored.get('quant_conv.weight')!, shape: [8, 8, 3, 3] }
    stored.set('quant_conv.weight', wrong)
    stored.delete('decoder.conv_in.bias')
    stored.set('loss.logvar', { shape: [], dtype: 'float32', file: 'recorded', read: () => zeros([]) })
    expect(() => loadPart(vae, config, stored, { where: 'the tiny one' })).toThrow(
      /the tiny one .*3 problems[^]*quant_conv.weight[^]*got shape[^]*missing decoder.conv_in.bias, expected \[16\][^]*unexpected loss.logvar/,
    )
  })
})

describe('the published configurations have the published numbers of weights', () => {
  const text = (json: object) => countWeights((source) => clipText.build(clipText.parseConfig(json), source))
  const net = (json: object) => countWeights((source) => unet.build(unet.parseConfig(json), source))
  const wide = { cross_attention_dim: 1024, attention_head_dim: [5, 10, 20, 20], use_linear_projection: true }
  const xl = {
    block_out_channels: [320, 640, 1280],
    down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
    up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],
    attention_head_dim: [5, 10, 20],
    transformer_layers_per_block: [1, 2, 10],
    cross_attention_dim: 2048,
    addition_embed_type: 'text_time',
    projection_class_embeddings_input_dim: 2816,
  }
  const large = { hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12 }
  const huge = { hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 23, num_attention_heads: 16 }
  const giant = { hidden_size: 1280, intermediate_size: 5120, num_hidden_layers: 32, num_attention_heads: 20 }
  const projected = { architectures: ['CLIPTextModelWithProjection'], projection_dim: 1280 }

  test.each([
    ['the U-Net of 1.5', net({ cross_attention_dim: 768 }), 859_520_964],
    ['the U-Net of 2.1', net(wide), 865_910_724],
    ['the U-Net of XL', net(xl), 2_567_463_684],
    ['ViT-L', text(large), 123_060_480],
    ['OpenCLIP H without its last layer', text(huge), 340_387_840],
    ['OpenCLIP bigG', text({ ...giant, ...projected }), 694_659_840],
  ])('%s', (_, got, published) => {
    expect(got).toBe(published)
  })

  test('the autoencoder', () => {
    const json = {
      block_out_channels: [128, 256, 512, 512],
      down_block_types: Array<string>(4).fill('DownEncoderBlock2D'),
      layers_per_block: 2,
    }
    expect(countWeights((source) => vae.build(vae.parseConfig(json), source))).toBe(83_653_863)
  })
})

test('settings of a U-Net that are not built are refused by name', () => {
  const json = { ...recordedJson<object>('images/unet_sd1.json'), class_embed_type: 'timestep', norm_num_groups: 3 }
  expect(() => unet.parseConfig(json)).toThrow(/class_embed_type[^]*norm_num_groups/)
})
