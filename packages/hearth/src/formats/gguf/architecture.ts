// What an architecture of GGUF files is: which families it holds, how names and numbers of Hugging Face's files become its
// own, and how the configuration does. One file an architecture or kin; nothing here knows any of them.
import type { Tensor } from '@hearth/torch'
import type { MetadataReader } from './metadata-reader.js'
import type { TypedValue } from './values.js'

/** A config.json. */
export type Json = Readonly<Record<string, unknown>>

/** Sizes that changes of tensors need. */
export interface Heads {
  heads: number
  keyValueHeads: number
}

/** How the numbers of a tensor are arranged otherwise; both directions undo each other. */
export interface Change {
  toGguf(x: Tensor, sizes: Heads): Tensor
  toHuggingFace(x: Tensor, sizes: Heads): Tensor
  /** The shape is reversed; else it stays. */
  transposes?: true
}

/** One module: its weight and bias keep their last name. */
export interface Rule {
  /** Hugging Face's name: `*` for the number of a block, `#` for the number of what GGUF stacks into one tensor. */
  huggingFace: string
  gguf: string
  change?: Change
}

/** What is wrong with a model for an architecture, as `key: message`. */
export type Refuse = (key: string, message: string) => void

export interface Architecture {
  /** `general.architecture` */
  name: string
  /** Hugging Face's `model_type`s that it holds. */
  families: readonly string[]
  rules: readonly Rule[]
  /** A head that is the embedding stands in the file a second time: llama.cpp asks for it. */
  needsHead?: true
  /** The metadata of a config.json as Family.toConfig() writes it, without the prefix of keys. */
  metadata: (config: Json, refuse: Refuse) => Record<string, TypedValue>
  /** Tensors that stand for something in the configuration. */
  extraTensors?: (config: Json) => Record<string, number[]>
  /** The config.json of a file's metadata. */
  config: (reader: MetadataReader) => Json
}
