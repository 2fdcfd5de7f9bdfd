// A single-file checkpoint (.safetensors, .ckpt) in the layout of the first Stable Diffusion code, as an image model: its
// tensors under diffusers' names, its configurations from their shapes. Nothing in the file is executed.
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { FormatError, readSafetensors, scope, type SafetensorsFile } from '@hearth/torch'
import type { StoredTensor } from '../../models/index.js'
import { readPytorch, type PytorchFile } from '../pickle/index.js'
import { countOf, inferText, inferUnet, inferVae } from './infer-config.js'
import { readTokenizer } from './open-folder.js'
import { openClipName, unetName, vaeName } from './original-names.js'
import type { ImageSource, PartSource } from './source.js'

type Stored = Map<string, StoredTensor>

const UNET = 'model.diffusion_model.'
const VAE = 'first_stage_model.'
const OPENAI = ['cond_stage_model.transformer.', 'conditioner.embedders.0.transformer.']
const OPEN = ['cond_stage_model.model.', 'conditioner.embedders.1.model.', 'conditioner.embedders.0.model.']
/** What an OpenCLIP has beside its text tower's weights, and the autoencoder beside its own. */
const BESIDE = /(^|\.)(logit_scale|attn_mask|position_ids)$|^visual\.|^loss\.|^model_ema\./

/** What stands below a prefix, without it. */
function below(all: Stored, prefix: string): Stored {
  const found = [...all].filter(([name]) => name.startsWith(prefix) && !BESIDE.test(name.slice(prefix.length)))
  return new Map(found.map(([name, stored]) => [name.slice(prefix.length), stored]))
}

const rename = (stored: Stored, to: (name: string) => string): Stored =>
  new Map([...stored].map(([name, each]) => [to(name), each]))

function unetOf(all: Stored, where: string): PartSource {
  const own = below(all, UNET)
  // Blocks of a level without a change of size: input_blocks.1 to the first with `0.op`.
  const firstSmaller = [...own.keys()].map((name) => /^input_blocks\.(\d+)\.0\.op\./.exec(name)?.[1]).filter(Boolean)
  const residualBlocks = firstSmaller.length > 0 ? Math.min(...firstSmaller.map(Number)) - 1 : 2
  const tensors = rename(own, (name) => unetName(name, residualBlocks))
  return { json: inferUnet(tensors), tensors, where: `the U-Net of ${where}` }
}

function vaeOf(all: Stored, where: string, xl: boolean): PartSource {
  const own = below(all, VAE)
  const levels = countOf(own.keys(), 'encoder.down.')
  const tensors = rename(own, (name) => vaeName(name, levels))
  return { json: inferVae(tensors, xl), tensors, where: `the autoencoder of ${where}` }
}

/** OpenCLIP's three projections lie in one tensor: the rows of the queries, keys and values. */
function splitProjections(stored: Stored): Stored {
  const split: Stored = new Map()
  for (const [name, each] of stored) {
    const at = name.indexOf('self_attn.in_proj.')
    if (at < 0) split.set(name, each)
    for (const [i, part] of at < 0 ? [] : ['q', 'k', 'v'].entries()) {
      const rows = each.shape[0]! / 3
      split.set(name.replace('in_proj', `${part}_proj`), {
        ...each,
        shape: [rows, ...each.shape.slice(1)],
        read: () => scope(() => each.read().narrow(0, i * rows, rows)),
      })
    }
  }
  return split
}

/** OpenCLIP keeps the projection as (width, out), transformers as (out, width). */
function turnProjection(stored: Stored): Stored {
  const name = 'text_projection.weight'
  const each = stored.get(name)
  if (each === undefined) return stored
  const read = () => scope(() => each.read().t().contiguous())
  return new Map(stored).set(name, { ...each, shape: [...each.shape].reverse(), read })
}

/** 2.x was trained on the states before OpenCLIP's last layer: it is left out, with the projection. */
function withoutLastLayer(stored: Stored): Stored {
  const last = countOf(stored.keys(), 'text_model.encoder.layers.') - 1
  const dropped = (name: string) =>
    name.startsWith(`text_model.encoder.layers.${last}.`) || name === 'text_projection.weight'
  return new Map([...stored].filter(([name]) => !dropped(name)))
}

function textsOf(all: Stored, where: string, xl: boolean): PartSource[] {
  const openai = OPENAI.map((prefix) => below(all, prefix)).filter((found) => found.size > 0)
  const open = OPEN.map((prefix) => rename(below(all, prefix), openClipName)).filter((found) => found.size > 0)
  return [
    ...openai.map((tensors) => ({ json: inferText(tensors, false), tensors })),
    ...open.map((found) => {
      const whole = turnProjection(splitProjections(found))
      const tensors = xl ? whole : withoutLastLayer(whole)
      return { json: inferText(tensors, true), tensors }
    }),
  ].map((each, i) => ({ ...each, where: `text encoder ${i + 1} of ${where}` }))
}

/** What the file is when it is not a whole model. */
function missingFrom(all: Stored, unet: PartSource, vae: PartSource, texts: readonly PartSource[]): string | undefined {
  const names = [...all.keys()]
  const some = (pattern: RegExp) => names.some((name) => pattern.test(name))
  if (some(/^lora_|\.lora_(down|up|A|B)\./)) return 'it is a LoRA, which changes a model and is none'
  if (unet.tensors.size === 0 && (texts.length > 0 || some(/^(text_model|transformer\.resblocks)\./)))
    return 'it is a text encoder alone, without a U-Net and an autoencoder'
  if (unet.tensors.size === 0 && (vae.tensors.size > 0 || some(/^(encoder|decoder)\.(down|up|mid)/)))
    return 'it is an autoencoder alone, without a U-Net and a text encoder'
  const missing = [
    ...(unet.tensors.size === 0 ? [`the U-Net (${UNET}…)`] : []),
    ...(vae.tensors.size === 0 ? [`the autoencoder (${VAE}…)`] : []),
    ...(texts.length === 0 ? ['the text encoder (cond_stage_model.… or conditioner.…)'] : []),
  ]
  return missing.length > 0 ? `it lacks ${missing.join(' and ')}` : undefined
}

const BETAS = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', num_train_timesteps: 1000 }

/** The published scheduler. Whether 2.x predicts the velocity shows in the file only where its metadata say so. */
function schedulerOf(all: Stored, metadata: Readonly<Record<string, string>>, xl: boolean): Record<string, unknown> {
  const said = metadata['modelspec.prediction_type']
  const isSecond = [...all.keys()].some((name) => name.startsWith(OPEN[0]!))
  const inpaints = all.get(`${UNET}input_blocks.0.0.weight`)?.shape[1] === 9
  const velocity = said === undefined ? all.has('v_pred') || (isSecond && !inpaints) : said.startsWith('v')
  const shared = { ...BETAS, steps_offset: 1, prediction_type: velocity ? 'v_prediction' : 'epsilon' }
  if (xl) return { ...shared, _class_name: 'EulerDiscreteScheduler', timestep_spacing: 'leading' }
  return { ...shared, _class_name: 'PNDMScheduler', skip_prk_steps: true, set_alpha_to_one: false }
}

function storedOf(file: SafetensorsFile | PytorchFile): Stored {
  return new Map(
    [...file.entries].map(([name, { shape, dtype }]) => [
      name,
      { shape, dtype, file: basename(file.path), read: () => file.tensor(name) },
    ]),
  )
}

/**
 * Opens a checkpoint; of its weights only the headers are read.
 * @throws FormatError naming what is malformed or missing
 */
export function openCheckpoint(path: string): ImageSource {
  const file = path.endsWith('.safetensors') ? readSafetensors(path) : readPytorch(path)
  try {
    const all = storedOf(file)
    const xl = [...all.keys()].some((name) => name.startsWith(`${UNET}label_emb.`))
    const [unet, vae, texts] = [unetOf(all, path), vaeOf(all, path, xl), textsOf(all, path, xl)]
    const problem = missingFrom(all, unet, vae, texts)
    if (problem !== undefined)
      throw new FormatError(`${path} cannot make pictures: ${problem}`, {
        remedy: 'give a whole model: U-Net, autoencoder and text encoder in one file, or a folder of diffusers',
      })
    const metadata = 'metadata' in file ? file.metadata : {}
    const scheduler = schedulerOf(all, metadata, xl)
    const tokenizers = async () => Promise.all(texts.map((_, i) => tokenizerBeside(path, i)))
    const { releasePages, close } = { releasePages: () => file.releasePages(), close: () => file.close() }
    return { where: path, unet, vae, texts, scheduler, zerosForEmpty: xl, tokenizers, releasePages, close }
  } catch (error) {
    file.close()
    throw error
  }
}

/** The folders tokenizer/ and tokenizer_2/ next to the file, or the file's own folder. */
async function tokenizerBeside(path: string, i: number): Promise<Awaited<ReturnType<typeof readTokenizer>>> {
  const here = dirname(path)
  const folders = [...(i > 0 ? [join(here, `tokenizer_${i + 1}`)] : []), join(here, 'tokenizer'), here]
  for (const folder of folders) {
    const found = existsSync(folder) ? await readTokenizer(folder) : undefined
    if (found !== undefined) return found
  }
  return undefined
}
