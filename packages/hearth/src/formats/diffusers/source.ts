// An image model in files, whatever their layout: each part with its config.json and its tensors under diffusers' names,
// none of them read before it is asked for. Opening a folder and opening a single file both give this.
import type { StoredTensor } from '../../models/index.js'
import type { Tokenizer } from '../../data/index.js'

export interface PartSource {
  /** Contents of the part's config.json. */
  json: unknown
  tensors: ReadonlyMap<string, StoredTensor>
  /** The folder or file, for messages. */
  where: string
}

export interface ImageSource {
  where: string
  unet: PartSource
  vae: PartSource
  /** One; of XL two. */
  texts: readonly PartSource[]
  /** Contents of scheduler_config.json, with its `_class_name`. */
  scheduler: Readonly<Record<string, unknown>>
  /** XL: an empty negative prompt is zeros, not the text of no words. */
  zerosForEmpty: boolean
  /** One for each text encoder; undefined where there is none beside the weights. */
  tokenizers(): Promise<readonly (Tokenizer | undefined)[]>
  /** Gives back the memory of pages that were read. */
  releasePages(): void
  close(): void
}
