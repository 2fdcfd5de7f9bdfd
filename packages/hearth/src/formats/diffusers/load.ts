// An image model into memory: from a folder of diffusers or a single-file checkpoint. Nothing of the files is executed.
import { existsSync, statSync } from 'node:fs'
import { ConfigError, FormatError, scope, type DType } from '@hearth/torch'
import type { Tokenizer } from '../../data/index.js'
import {
  clipText,
  loadPart,
  unet,
  vae,
  type ClipTextConfig,
  type ClipTextWeights,
  type ImagePart,
  type UnetConfig,
  type UnetWeights,
  type VaeConfig,
  type VaeWeights,
} from '../../models/index.js'
import { openCheckpoint } from './open-checkpoint.js'
import { openDiffusersFolder, readTokenizer } from './open-folder.js'
import type { ImageSource, PartSource } from './source.js'

/** A network with its weights. */
export interface LoadedPart<Config, Weights> {
  config: Config
  weights: Weights
}

export interface TextEncoder extends LoadedPart<ClipTextConfig, ClipTextWeights> {
  tokenizer: Tokenizer
}

export interface ImageModel {
  where: string
  unet: LoadedPart<UnetConfig, UnetWeights>
  vae: LoadedPart<VaeConfig, VaeWeights>
  /** One; XL has two, whose states stand side by side. */
  texts: readonly TextEncoder[]
  /** Contents of scheduler_config.json, with its `_class_name`. */
  scheduler: Readonly<Record<string, unknown>>
  zerosForEmpty: boolean
  /** Of the weights. */
  dtype: DType
}

export interface LoadImageModelOptions {
  /** Of the weights. @default 'bfloat16' */
  dtype?: DType
  /** A folder with CLIP's tokenizer, for checkpoints that have none beside them. */
  tokenizer?: string | undefined
}

/**
 * Opens an image model's files; of the weights only the headers are read.
 * @throws FormatError, ConfigError as loadImageModel()
 */
export function openImageSource(path: string): ImageSource {
  if (!existsSync(path))
    throw new FormatError(`${path}: there is no such folder or file`, {
      remedy: 'give a folder of diffusers (with model_index.json) or a checkpoint (.safetensors, .ckpt)',
    })
  return statSync(path).isDirectory() ? openDiffusersFolder(path) : openCheckpoint(path)
}

async function tokenizersOf(source: ImageSource, folder: string | undefined): Promise<readonly Tokenizer[]> {
  const given = folder === undefined ? undefined : await readTokenizer(folder)
  if (folder !== undefined && given === undefined)
    throw new FormatError(`${folder} has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt`)
  const found = given === undefined ? await source.tokenizers() : source.texts.map(() => given)
  const known = found.filter((each) => each !== undefined)
  if (known.length === found.length) return known
  throw new FormatError(`${source.where} has no tokenizer beside its text encoder`, {
    remedy:
      'name a folder with CLIP’s vocab.json and merges.txt (--tokenizer), such as tokenizer/ of any Stable Diffusion',
  })
}

function load<Config, Weights>(
  part: ImagePart<Config, Weights>,
  { json, tensors, where }: PartSource,
  dtype: DType,
): LoadedPart<Config, Weights> {
  const config = part.parseConfig(json, where)
  return { config, weights: scope(() => loadPart(part, config, tensors, { dtype, where })) }
}

/** Sizes that must agree between the parts. */
function checkTogether({ unet, vae, texts, where }: Omit<ImageModel, 'zerosForEmpty' | 'dtype' | 'scheduler'>): void {
  const width = texts.reduce((sum, { config }) => sum + config.width, 0)
  const { contextWidth, outChannels } = unet.config
  const issues = [
    ...(width === contextWidth
      ? []
      : [{ path: 'unet.cross_attention_dim', message: `is ${contextWidth}, but the text encoders give ${width}` }]),
    ...(outChannels === vae.config.latentChannels
      ? []
      : [
          {
            path: 'unet.out_channels',
            message: `is ${outChannels}, but the autoencoder has ${vae.config.latentChannels}`,
          },
        ]),
  ]
  if (issues.length > 0) throw new ConfigError(`${where}: its parts do not belong together`, issues)
}

/**
 * Reads a model that makes pictures: Stable Diffusion 1.x, 2.x, XL, for inpainting too.
 * @throws FormatError listing everything that is wrong: missing parts, malformed files, tensors that do not fit
 * @throws ConfigError when a configuration is impossible or not supported
 * @example
 * const model = await loadImageModel('models/stable-diffusion-v1-5')
 */
export async function loadImageModel(path: string, options: LoadImageModelOptions = {}): Promise<ImageModel> {
  const { dtype = 'bfloat16', tokenizer } = options
  const source = openImageSource(path)
  try {
    const tokenizers = await tokenizersOf(source, tokenizer)
    const parts = {
      where: source.where,
      texts: source.texts.map((text, i) => ({ ...load(clipText, text, dtype), tokenizer: tokenizers[i]! })),
      unet: load(unet, source.unet, dtype),
      vae: load(vae, source.vae, dtype),
    }
    checkTogether(parts)
    source.releasePages()
    return { ...parts, scheduler: source.scheduler, zerosForEmpty: source.zerosForEmpty, dtype }
  } finally {
    source.close()
  }
}
