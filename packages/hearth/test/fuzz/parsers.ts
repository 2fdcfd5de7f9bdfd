// The parsers that are fuzzed, each with the real files that are damaged, and what a program does with one that opens.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSafetensors, scope, tensor, writeSafetensors, zeros } from '@hearth/torch'
import { NeoxData, readNeoxIndex, Tokenizer, trainByteLevelBpe } from 'hearth/data'
import { openModelSource, readGguf, readPytorch, saveGguf, saveModel } from 'hearth/formats'
import { createModel } from 'hearth/models'

export interface Parser {
  /** Makes the files to be damaged; `folder` is for what has to be written first. */
  files(folder: string): Promise<Buffer[]>
  /** Reads the damaged file. */
  read(path: string): unknown
}

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))
const config = {
  model_type: 'llama',
  hidden_size: 256,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  intermediate_size: 256,
  vocab_size: 300,
}

/** Every tensor, as far as it is small; what is mapped costs nothing. */
function readAll(file: { entries: ReadonlyMap<string, unknown>; tensor(name: string): { dispose(): void } }): void {
  for (const name of file.entries.keys()) scope(() => void file.tensor(name))
}

async function tinyTokenizer(): Promise<Tokenizer> {
  return trainByteLevelBpe(['call me Ishmael, some years ago'], { vocabSize: 290 })
}

async function ggufFiles(folder: string): Promise<Buffer[]> {
  const model = join(folder, 'model')
  await saveModel(model, createModel(config, { seed: 1 }), { tokenizer: await tinyTokenizer() })
  const files: Buffer[] = []
  for (const type of ['F32', 'Q4_K', 'Q8_0'] as const) {
    const path = join(folder, `${type}.gguf`)
    await saveGguf(path, openModelSource(model), { type })
    files.push(readFileSync(path))
  }
  return files
}

async function safetensorsFiles(folder: string): Promise<Buffer[]> {
  const path = join(folder, 'small.safetensors')
  writeSafetensors(
    path,
    { a: zeros([3, 4]), b: tensor([1, 0], { dtype: 'bool' }), empty: zeros([0, 2]) },
    { format: 'pt' },
  )
  const model = join(fixtures, 'models/gpt2/model.safetensors')
  return Promise.resolve([path, model, join(fixtures, 'pickles/expected.safetensors')].map((one) => readFileSync(one)))
}

async function tokenizerFiles(): Promise<Buffer[]> {
  const { json } = await tinyTokenizer()
  const template = {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<|endoftext|>' } }, { Sequence: { id: 'A' } }],
    special_tokens: { '<|endoftext|>': { ids: [0] } },
  }
  return [json, { ...json, post_processor: template }].map((one) => Buffer.from(JSON.stringify(one)))
}

function neoxFile(): Buffer {
  const index = Buffer.alloc(34 + 12 * 3 + 8 * 3)
  index.write('MMIDIDX\0\0', 'latin1')
  index.writeBigUInt64LE(1n, 9)
  index[17] = 8
  for (const [at, value] of [
    [18, 3n],
    [26, 3n],
    [46, 0n],
    [54, 8n],
    [62, 14n],
    [70, 0n],
    [78, 2n],
    [86, 3n],
  ] as const)
    index.writeBigUInt64LE(value, at)
  for (const [i, length] of [4, 3, 5].entries()) index.writeInt32LE(length, 34 + 4 * i)
  return index
}

function readTokens(path: string): void {
  const tokenizer = Tokenizer.fromJson(JSON.parse(readFileSync(path, 'utf8')))
  tokenizer.decode(tokenizer.encode('Call me <|endoftext|> Ishmael, 很远.'))
}

/** Everything that opening, and then using, a GGUF file does. */
function readModel(path: string): unknown {
  {
    using file = readGguf(path)
    for (const value of file.metadata.values()) if (typeof value === 'object') value.items()
    readAll(file)
  }
  const source = openModelSource(path)
  return source.tokenizer().finally(() => source.close())
}

export const parsers: Record<string, Parser> = {
  safetensors: {
    files: safetensorsFiles,
    read: (path) => {
      using file = readSafetensors(path)
      readAll(file)
    },
  },
  gguf: { files: ggufFiles, read: readModel },
  pickle: {
    files: () => {
      const folder = join(fixtures, 'pickles')
      const names = readdirSync(folder).filter((name) => /\.(pt|ckpt|pkl)$/.test(name))
      return Promise.resolve(names.map((name) => readFileSync(join(folder, name))))
    },
    read: (path) => {
      using file = readPytorch(path)
      readAll(file)
    },
  },
  tokenizer: { files: tokenizerFiles, read: readTokens },
  neox: {
    files: () => Promise.resolve([neoxFile()]),
    read: (path) => {
      const index = readNeoxIndex(path, statSync(path).size)
      for (let i = 0; i < index.sequences; i++) index.sequence(i)
      for (let i = 0; i <= index.documents; i++) index.firstOf(i)
      index.close()
      return NeoxData
    },
  },
}
