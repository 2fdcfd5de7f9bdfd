// A model in files, whatever their format: its family, its configuration and its tensors under Hugging Face's names, none
// of them read before it is asked for. What loading and converting have in common.
import { empty, isFloating, scope } from '@hearth/torch'
import type { Tokenizer } from '../data/index.js'
import { loadWeights, type GenerationDefaults, type Preset, type StoredTensor } from '../models/index.js'

export interface ModelSource extends Preset {
  /** How its makers mean text to be generated, where its files say so. */
  generation?: GenerationDefaults | undefined
  /** The folder or file, for messages. */
  where: string
  tensors: ReadonlyMap<string, StoredTensor>
  /** The tokenizer beside the weights, where there is one. */
  tokenizer(): Promise<Tokenizer | undefined>
  /** Gives back the memory of pages that were read; tensors that are still in use read theirs again. */
  releasePages(): void
  /** Gives up the files; tensors that were read keep their pages. */
  close(): void
}

/**
 * The tensors that the model consists of, in the order of its layers, under full names: with the base prefix, without
 * buffers and heads that repeat the embedding. Nothing is read.
 * @throws FormatError listing all tensors that are missing, misshapen or unexpected
 */
export function weightsOf({ family, config, tensors, where }: ModelSource): Map<string, StoredTensor> {
  const { basePrefix, head } = family.names
  const bare = ![...tensors.keys()].some((name) => name.startsWith(basePrefix))
  const found = new Map<string, StoredTensor>()
  // Loading asks for every tensor that it needs, and refuses what does not fit: here it gets nothing but the questions.
  const asked = [...tensors].map(([name, stored]): [string, StoredTensor] => {
    const full = bare && name !== head ? basePrefix + name : name
    const read = () => {
      found.set(full, stored)
      return empty([0])
    }
    return [name, { ...stored, dtype: isFloating(stored.dtype) ? 'float32' : stored.dtype, read }]
  })
  scope(() => loadWeights(family, config, new Map(asked), { where }))
  return found
}
