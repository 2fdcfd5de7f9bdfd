// A model from files into memory: a Hugging Face folder or a GGUF file. Nothing of the files is executed.
import { existsSync, statSync } from 'node:fs'
import { FormatError, isFloating, scope, type DType } from '@hearth/torch'
import type { Tokenizer } from '../data/index.js'
import { loadWeights, type LanguageModel } from '../models/index.js'
import type { BaseFormat } from '../nn/index.js'
import { openGguf } from './gguf/index.js'
import { openFolder } from './hugging-face/open-folder.js'
import { quantisedWeights } from './quantised-weights.js'
import type { ModelSource } from './source.js'

export interface LoadModelOptions {
  /**
   * Of the weights. When it is not given they stay as the file has them and in its memory; float16 becomes float32, as
   * CPUs do not compute in it, and so do blocks of quantised numbers, and everything where dtypes are mixed.
   */
  dtype?: DType
  /** The linear layers of the blocks are put into codes as they are read, tensor by tensor: for training adapters on them. */
  base?: BaseFormat | undefined
}

/**
 * Opens a model's files; of the weights only the headers are read.
 * @param path a Hugging Face folder, or a GGUF file
 * @throws FormatError, ConfigError as loadModel()
 */
export function openModelSource(path: string): ModelSource {
  if (!existsSync(path))
    throw new FormatError(`${path}: there is no such folder or file`, {
      remedy: 'give a folder with config.json and weights, or a GGUF file',
    })
  return statSync(path).isDirectory() ? openFolder(path) : openGguf(path)
}

/**
 * Reads a model from a Hugging Face folder or a GGUF file. Weights that keep their dtype are views of the mapped files:
 * nothing is read before it is used, and writing to them does not reach the files.
 * @throws FormatError listing everything that is wrong: missing files, malformed files, tensors that do not fit
 * @throws ConfigError when it is the configuration alone that is wrong
 * @example
 * const model = loadModel('models/pythia-70m')
 * const ids = tensor([[12092, 13]], { dtype: 'int64' })
 * logits(model, ids).shape // [1, 2, 50304]
 */
export function loadModel(path: string, { dtype, base }: LoadModelOptions = {}): LanguageModel {
  const source = openModelSource(path)
  const { family, config, generation, tensors, where } = source
  // GGUF files keep norms and biases in 32 bits beside matrices in 16, which are not computed with together.
  const dtypes = new Set([...tensors.values()].map((stored) => stored.dtype).filter(isFloating))
  const wanted = dtype ?? (dtypes.size > 1 ? 'float32' : undefined)
  try {
    const options = { dtype: wanted, where }
    const weights =
      base === undefined
        ? scope(() => loadWeights(family, config, tensors, options))
        : quantisedWeights(source, base, options)
    return { family, config, weights, ...(generation === undefined ? {} : { generation }) }
  } finally {
    source.close()
  }
}

/** The tokenizer beside a model's weights, where there is one; as openModelSource(). */
export async function loadTokenizer(path: string): Promise<Tokenizer | undefined> {
  const source = openModelSource(path)
  try {
    return await source.tokenizer()
  } finally {
    source.close()
  }
}
