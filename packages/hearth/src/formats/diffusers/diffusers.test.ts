// Image models from folders and single files; what is wrong with them is one clear error.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cat, writeSafetensors, type Tensor } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture } from '../../../test/recorded.js'
import {
  tinyCheckpoint,
  tinyWeights,
  writeTinyFolder,
  writeTinyTokenizer,
  type TinyKind,
} from '../../../test/tiny-image-model.js'
import { flattenTree } from '../../tree/index.js'
import { loadImageModel, openImageSource, type ImageModel } from './index.js'
import { unetName, vaeName } from './original-names.js'

let scratch = ''
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'hearth-images-'))
  writeTinyTokenizer(join(scratch, 'tokenizer'))
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const join3 = (tensors: Tensor[]): Tensor => cat(tensors, { dim: 0 })
const sums = (tree: object): Record<string, number> =>
  Object.fromEntries(Object.entries(flattenTree(tree as never)).map(([path, weight]) => [path, weight.sum().item()]))
const allSums = ({ unet, vae, texts }: ImageModel) => [unet, vae, ...texts].map(({ weights }) => sums(weights))

describe('a single-file checkpoint', () => {
  test.each<TinyKind>(['sd1', 'inpainting', 'xl'])('of kind %s is the folder with the same weights', async (kind) => {
    const [folder, file] = [join(scratch, kind), join(scratch, `${kind}.safetensors`)]
    writeTinyFolder(folder, kind)
    writeSafetensors(file, tinyCheckpoint(kind, join3))
    const dtype = 'float32'
    const [one, other] = [await loadImageModel(folder, { dtype }), await loadImageModel(file, { dtype })]
    expect(allSums(other)).toEqual(allSums(one))
    expect({ ...other.unet.config, sampleSize: 8 }).toEqual(one.unet.config)
    expect(other.vae.config).toEqual(one.vae.config)
    expect(other.texts.map(({ config }) => config)).toEqual(one.texts.map(({ config }) => config))
  })

  test('of 2.x leaves out the last layer of its text encoder, and predicts the velocity', async () => {
    const file = join(scratch, 'sd2.safetensors')
    writeSafetensors(file, tinyCheckpoint('sd2', join3))
    const { texts, scheduler } = await loadImageModel(file)
    expect(texts[0]!.config).toMatchObject({ layers: 1, activation: 'gelu', projection: undefined })
    expect(scheduler).toMatchObject({ beta_schedule: 'scaled_linear', prediction_type: 'v_prediction' })
  })

  test.each([
    [
      'input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight',
      'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight',
    ],
    ['input_blocks.3.0.op.bias', 'down_blocks.0.downsamplers.0.conv.bias'],
    ['input_blocks.4.0.skip_connection.weight', 'down_blocks.1.resnets.0.conv_shortcut.weight'],
    ['input_blocks.11.0.emb_layers.1.weight', 'down_blocks.3.resnets.1.time_emb_proj.weight'],
    ['middle_block.2.out_layers.3.bias', 'mid_block.resnets.1.conv2.bias'],
    ['output_blocks.2.1.conv.weight', 'up_blocks.0.upsamplers.0.conv.weight'],
    ['output_blocks.5.2.conv.weight', 'up_blocks.1.upsamplers.0.conv.weight'],
    ['output_blocks.11.1.proj_out.weight', 'up_blocks.3.attentions.2.proj_out.weight'],
    ['out.0.weight', 'conv_norm_out.weight'],
  ])('of 1.5 has %s for %s', (original, name) => {
    expect(unetName(original, 2)).toBe(name)
  })

  test('counts the decoder’s levels from the other end', () => {
    expect(vaeName('decoder.up.0.block.2.nin_shortcut.weight', 4)).toBe(
      'decoder.up_blocks.3.resnets.2.conv_shortcut.weight',
    )
    expect(vaeName('decoder.up.3.upsample.conv.bias', 4)).toBe('decoder.up_blocks.0.upsamplers.0.conv.bias')
  })
})

describe('what cannot make pictures says what it is:', () => {
  const file = (name: string, tensors: Record<string, Tensor>): string => {
    const path = join(scratch, `${name}.safetensors`)
    writeSafetensors(path, tensors)
    return path
  }
  const only = (prefix: string) =>
    Object.fromEntries(Object.entries(tinyCheckpoint('sd1', join3)).filter(([name]) => name.startsWith(prefix)))

  test('a text encoder alone', () => {
    expect(() => openImageSource(file('text', tinyWeights('sd1').texts[0]!))).toThrow(
      /text encoder alone, without a U-Net/,
    )
    writeTinyFolder(join(scratch, 'whole'))
    expect(() => openImageSource(join(scratch, 'whole', 'text_encoder'))).toThrow(
      /text encoder alone \(CLIPTextModel\)/,
    )
  })

  test('a checkpoint without its autoencoder and its text encoder', () => {
    expect(() => openImageSource(file('net', only('model.')))).toThrow(
      /lacks the autoencoder \(first_stage_model\.…\) and the text encoder/,
    )
  })

  test('a LoRA', () => {
    const [weight] = Object.values(tinyWeights('sd1').texts[0]!)
    expect(() => openImageSource(file('lora', { 'lora_unet_x.lora_down.weight': weight! }))).toThrow(/it is a LoRA/)
  })

  test('a pickle of something else, which is read and not run', () => {
    expect(() => openImageSource(fixture('pickles/training.ckpt'))).toThrow(/cannot make pictures: it lacks the U-Net/)
  })

  test('a checkpoint without a tokenizer', async () => {
    const alone = join(scratch, 'alone')
    mkdirSync(alone)
    writeSafetensors(join(alone, 'model.safetensors'), tinyCheckpoint('sd1', join3))
    await expect(loadImageModel(join(alone, 'model.safetensors'))).rejects.toThrow(/no tokenizer beside/)
    const given = { tokenizer: join(scratch, 'tokenizer') }
    expect((await loadImageModel(join(alone, 'model.safetensors'), given)).texts).toHaveLength(1)
  })

  test('a folder whose parts are missing or damaged, all at once', () => {
    const folder = join(scratch, 'damaged')
    writeTinyFolder(folder)
    rmSync(join(folder, 'vae'), { recursive: true })
    rmSync(join(folder, 'unet', 'diffusion_pytorch_model.safetensors'))
    writeFileSync(join(folder, 'text_encoder', 'config.json'), '{')
    expect(() => openImageSource(folder)).toThrow(
      /unet: diffusion_pytorch[^]*vae is missing[^]*text_encoder[^]*cannot be read/,
    )
  })

  test('another pipeline', () => {
    const path = join(scratch, 'whole', 'model_index.json')
    const json = JSON.parse(readFileSync(path, 'utf8')) as object
    writeFileSync(path, JSON.stringify({ ...json, _class_name: 'FluxPipeline' }))
    expect(() => openImageSource(join(scratch, 'whole'))).toThrow(
      /"FluxPipeline" is not supported; supported is Stable/,
    )
  })
})
