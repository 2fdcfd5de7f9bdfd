// A GGUF file as a model: its metadata as a configuration, its tensors under Hugging Face's names.
import { ConfigError } from '@hearth/torch'
import { configure, type Preset } from '../../models/index.js'
import type { ModelSource } from '../source.js'
import type { Json } from './architecture.js'
import { architectures, toHuggingFace } from './architectures.js'
import { readGguf, type GgufFile } from './gguf-file.js'
import { MetadataReader } from './metadata-reader.js'
import { tokenizerOf } from './tokenizer-from-gguf.js'

/**
 * Opens a GGUF file; of its weights nothing is read.
 * @throws FormatError when the file breaks a rule of the format
 * @throws ConfigError when it holds a model that is not known, or that lacks what it needs
 */
export function openGguf(path: string): ModelSource {
  const file = readGguf(path)
  try {
    return {
      where: path,
      ...describe(file),
      tokenizer: async () => Promise.resolve(tokenizerOf(file)),
      releasePages: () => file.releasePages(),
      close: () => file.close(),
    }
  } catch (error) {
    file.close()
    throw error
  }
}

function describe(file: GgufFile): Preset & Pick<ModelSource, 'tensors'> {
  const name = file.metadata.get('general.architecture')
  const architecture = architectures.find((one) => one.name === name)
  if (architecture === undefined) {
    const known = architectures.map((one) => one.name).join(', ')
    const got = typeof name === 'string' ? JSON.stringify(name) : 'nothing'
    throw new ConfigError(file.path, [
      { path: 'general.architecture', message: `${got} is not an architecture that Hearth knows; known are ${known}` },
    ])
  }
  const reader = new MetadataReader(file, `${architecture.name}.`)
  const json = architecture.config(reader)
  const heads = reader.number('attention.head_count')
  const keyValueHeads = reader.number('attention.head_count_kv', heads)
  reader.finish()
  const preset = configure({ ...json, ...tokensOf(file) }, file.path)
  return { ...preset, tensors: toHuggingFace(architecture, file, { heads, keyValueHeads }) }
}

/** The tokens that begin and end a text. */
function tokensOf({ metadata }: GgufFile): Json {
  const token = (name: string) => metadata.get(`tokenizer.ggml.${name}_token_id`)
  const [begin, end, turn] = ['bos', 'eos', 'eot'].map(token)
  const ends = [end, turn].filter((one) => typeof one === 'number')
  return { bos_token_id: typeof begin === 'number' ? begin : null, eos_token_id: ends.length === 0 ? null : ends }
}
