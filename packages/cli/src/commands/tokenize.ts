// `hearth tokenize`: text into ids and back, counts over files, and the training of a tokenizer.
import type { Tokenizer } from 'hearth/data'
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import { formatCount } from '../format.js'
import { parseIds, readStdin } from '../input.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

export const tokenize = defineCommand({
  name: 'tokenize',
  summary: 'turn text into tokens and back, count them, or train a tokenizer',
  description: [
    'Shows the tokens of TEXT (of stdin when TEXT is -); with --file counts those of files instead, and with --decode turns ids back into text. TOKENIZER is a Hugging Face folder, a tokenizer.json, or a run.',
    'With --train a byte-level BPE is trained on files, folders or globs and written to --out as a Hugging Face tokenizer.',
  ],
  arguments: {
    tokenizer: { description: 'Hugging Face folder, tokenizer.json, or a run (not with --train)' },
    text: { description: 'text to encode; - for stdin', many: true },
  },
  options: {
    file: { kind: 'list', value: 'DATA', description: 'count the tokens of a file, folder or glob' },
    decode: { kind: 'text', value: 'IDS', description: 'ids to turn into text, as 15,7,42' },
    train: { kind: 'list', value: 'DATA', description: 'train on a file, folder or glob' },
    vocabularySize: {
      kind: 'integer',
      value: 'N',
      default: 4096,
      minimum: 257,
      description: 'tokens of a trained tokenizer',
    },
    out: { kind: 'text', value: 'DIR', description: 'where a trained tokenizer is written' },
    json: { kind: 'flag', description: 'print the answer as JSON' },
  },
  examples: [
    { line: "hearth tokenize runs/quickstart 'Call me Ishmael.'", does: 'See how a text is cut' },
    { line: 'hearth tokenize models/pythia-160m --file books/*.txt', does: 'Count tokens' },
    { line: 'hearth tokenize --train books/ --vocabulary-size 8192 --out my-tokenizer', does: 'Train a tokenizer' },
  ],
  async run({ arguments: { tokenizer: word, text }, options, terminal }) {
    if (options.train.length > 0) {
      await trainTokenizer({ ...options, given: word }, terminal)
      return
    }
    if (word === undefined) throw new UsageError(['missing argument TOKENIZER'], 'tokenize')
    const tasks = [text.length > 0, options.file.length > 0, options.decode !== undefined].filter(Boolean).length
    if (tasks !== 1) throw new UsageError(['give one of TEXT, --file or --decode'], 'tokenize')
    const { openTokenizer } = await import('../model-source.js')
    const tokenizer = await openTokenizer(word)
    if (options.decode !== undefined) decode(tokenizer, parseIds(options.decode, '--decode'), options.json, terminal)
    else if (options.file.length > 0) await count(tokenizer, options.file, options.json, terminal)
    else encode(tokenizer, text[0] === '-' ? await readStdin() : text.join(' '), options.json, terminal)
  },
})

function encode(tokenizer: Tokenizer, text: string, json: boolean, terminal: Terminal): void {
  const ids = [...tokenizer.encode(text)]
  const bytes = Buffer.byteLength(text)
  if (json) {
    terminal.json({ ids, tokens: ids.map((id) => tokenizer.token(id)), count: ids.length, bytes })
    return
  }
  // The vocabulary's own spelling: Ġ is a space, Ċ the end of a line.
  terminal.print(
    table(
      ids.map((id) => [
        String(id),
        JSON.stringify(tokenizer.decode([id], { skipSpecialTokens: false })),
        tokenizer.token(id) ?? '',
      ]),
      ['id', 'text', 'token'],
    ),
  )
  terminal.print(`${ids.length} tokens, ${bytes} bytes, ${perToken(bytes, ids.length)} bytes per token`)
}

function decode(tokenizer: Tokenizer, ids: readonly number[], json: boolean, terminal: Terminal): void {
  const unknown = ids.find((id) => tokenizer.token(id) === undefined)
  if (unknown !== undefined)
    throw new UsageError([`--decode: ${unknown} is not in the vocabulary of ${tokenizer.vocabSize}`], 'tokenize')
  const text = tokenizer.decode(ids, { skipSpecialTokens: false })
  if (json) terminal.json({ text })
  else terminal.print(text)
}

async function count(tokenizer: Tokenizer, files: readonly string[], json: boolean, terminal: Terminal): Promise<void> {
  const { readDocuments } = await import('hearth/data')
  let [tokens, bytes, documents] = [0, 0, 0]
  for await (const { text, part } of readDocuments(files)) {
    tokens += tokenizer.encode(text, { addSpecialTokens: false, recognizeSpecialTokens: false }).length
    bytes += Buffer.byteLength(text)
    if (part === 0) documents++
  }
  if (json) terminal.json({ documents, bytes, tokens })
  else
    terminal.print(
      `${documents} documents, ${formatCount(bytes)} bytes, ${formatCount(tokens)} tokens, ${perToken(bytes, tokens)} bytes per token`,
    )
}

const perToken = (bytes: number, tokens: number): string => (tokens === 0 ? '0' : (bytes / tokens).toFixed(2))

interface Training {
  given: string | undefined
  train: string[]
  vocabularySize: number
  out: string | undefined
  json: boolean
}

async function trainTokenizer(
  { given, train, vocabularySize, out, json }: Training,
  terminal: Terminal,
): Promise<void> {
  if (given !== undefined)
    throw new UsageError([`--train takes each path on its own: --train ${train[0] ?? ''} --train ${given}`], 'tokenize')
  if (out === undefined) throw new UsageError(['--train needs --out DIR'], 'tokenize')
  const { readDocuments, trainByteLevelBpe } = await import('hearth/data')
  async function* texts() {
    for await (const { text } of readDocuments(train)) yield text
  }
  terminal.note(`Training a vocabulary of ${vocabularySize} …`)
  const tokenizer = await trainByteLevelBpe(texts(), { vocabSize: vocabularySize })
  await tokenizer.save(out)
  if (json) terminal.json({ folder: out, vocabularySize: tokenizer.vocabSize })
  else terminal.print(`${out}: ${tokenizer.vocabSize} tokens. Use it with: --set tokenizer.path=${out}`)
}
