// `hearth convert`: models between Hugging Face folders and GGUF files; tokens between Hearth's shards and GPT-NeoX's files.
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import type { Terminal } from '../terminal.js'

const FORMATS = ['hf', 'gguf', 'neox', 'shards'] as const

export const convert = defineCommand({
  name: 'convert',
  summary: 'turn a model or tokens into another format, and prove it',
  description: [
    'Models: SOURCE is a Hugging Face folder (safetensors, or .bin), a GGUF file or a finished run; --to hf or gguf. It is written tensor by tensor: in memory is never more than the largest one. Then what was written is read again, both run on the same tokens, and the largest difference of their logits is printed. Above the tolerance the output is removed and the command fails.',
    'Tokens: --to neox writes both splits of a folder of token shards as DESTINATION_train_text_document.bin and .idx, which the GPT-NeoX library trains on, and the same for heldout; --to shards reads such a pair (SOURCE is its .idx) into a folder, with the tokenizer of --tokenizer.',
  ],
  arguments: {
    source: { description: 'model (also owner/name on the hub), folder of token shards, or .idx file', required: true },
    destination: { description: 'what to write; must not exist', required: true },
  },
  options: {
    to: {
      kind: 'text',
      value: 'FORMAT',
      choices: FORMATS,
      description: 'gguf when DESTINATION ends in .gguf, else hf',
    },
    dtype: {
      kind: 'text',
      value: 'DTYPE',
      description:
        'float32, float16, bfloat16; for gguf also q8_0, q6_k, q4_k, q4_0; each tensor keeps its own when it is not given',
    },
    tolerance: {
      kind: 'number',
      value: 'SHARE',
      minimum: 0,
      description:
        'largest difference of logits that is accepted, as a share of the largest logit; by dtype when it is not given',
    },
    tokenizer: { kind: 'text', value: 'TOKENIZER', description: 'for --to shards: what made the tokens' },
    json: { kind: 'flag', description: 'print the answer as JSON' },
  },
  examples: [
    { line: 'hearth convert models/pythia-160m pythia-160m.gguf --dtype q4_k', does: 'For llama.cpp, at 4 bits' },
    { line: 'hearth convert pythia-160m.gguf models/again --to hf --dtype bfloat16', does: 'And back' },
    { line: 'hearth convert runs/books/tokens books --to neox', does: 'Tokens for the GPT-NeoX library' },
  ],
  async run({ arguments: { source, destination }, options: { to, dtype, tolerance, tokenizer, json }, terminal }) {
    const format = (to ?? (destination.endsWith('.gguf') ? 'gguf' : 'hf')) as (typeof FORMATS)[number]
    const forModels = Object.entries({ '--dtype': dtype, '--tolerance': tolerance }).filter(
      ([, value]) => value !== undefined,
    )
    if (format === 'neox' || format === 'shards') {
      if (forModels.length > 0)
        throw new UsageError(
          forModels.map(([flag]) => `${flag} is for models, not for --to ${format}`),
          'convert',
        )
      return convertTokens({ source, destination, format, tokenizer, json }, terminal)
    }
    if (tokenizer !== undefined) throw new UsageError(['--tokenizer is for --to shards'], 'convert')
    const { findRun } = await import('../locate.js')
    const { finishedModelOf } = await import('../model-source.js')
    const { localModel } = await import('../hub-model.js')
    const { convertModel } = await import('hearth/formats')
    const run = findRun(source)
    const from = run === undefined ? await localModel(source) : finishedModelOf(run)
    const says = { writing: `Writing ${destination} …`, comparing: 'Reading it again and comparing logits …' }
    const done = await convertModel(from, destination, {
      to: format,
      ...(dtype === undefined ? {} : { dtype }),
      ...(tolerance === undefined ? {} : { tolerance }),
      onStage: (stage) => terminal.note(says[stage]),
    })
    if (json) terminal.json({ destination, ...done })
    else
      terminal.print(
        `${destination}: over ${done.tokens} tokens the logits differ by at most ${done.largest.toPrecision(3)}, ` +
          `${done.relative.toPrecision(3)} of the largest (accepted: ${done.tolerance}); ` +
          `the likeliest token is the same at ${done.sameChoice} of ${done.tokens}`,
      )
  },
})

interface Tokens {
  source: string
  destination: string
  format: 'neox' | 'shards'
  tokenizer: string | undefined
  json: boolean
}

async function convertTokens(
  { source, destination, format, tokenizer, json }: Tokens,
  terminal: Terminal,
): Promise<void> {
  const { readNeoxIntoShards, writeNeox } = await import('hearth/data')
  if (format === 'neox') {
    if (tokenizer !== undefined) throw new UsageError(['--tokenizer is for --to shards'], 'convert')
    const written = await writeNeox(source, destination)
    if (json) terminal.json({ files: written })
    else
      for (const { path, tokens, documents } of written)
        terminal.print(`${path}.idx and .bin: ${documents} documents, ${tokens} tokens`)
    return
  }
  if (tokenizer === undefined) throw new UsageError(['--to shards needs --tokenizer TOKENIZER'], 'convert')
  const { openTokenizer } = await import('../model-source.js')
  const { splits } = readNeoxIntoShards(source, destination, { tokenizer: await openTokenizer(tokenizer) })
  if (json) terminal.json({ folder: destination, train: splits.train.tokens, heldout: splits.heldout.tokens })
  else terminal.print(`${destination}: ${splits.train.tokens} tokens to train on, ${splits.heldout.tokens} held out`)
}
