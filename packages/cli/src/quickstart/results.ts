// What the quickstart ends with: what was learned beside what compression programs make of the same text, the model's
// own voice, and what to try next.
import { Tokenizer } from 'hearth/data'
import { generateText } from 'hearth/generate'
import type { LanguageModel } from 'hearth/models'
import type { RunConfig } from 'hearth/train'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { commandLine, shortPath } from '../command-line.js'
import { formatBytes } from '../format.js'
import { Progress } from '../progress.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'
import { measureCompression, type Compression } from './compression.js'
import { bitsPerByte, heldOutText } from './held-out.js'

export interface Learned {
  /** The model's, on held-out addresses. */
  bitsPerByte: number
  /** Bytes of the held-out addresses. */
  bytes: number
  /** Of the same bytes. */
  compression: Compression[]
}

/** Measures model and compression programs on the addresses that the run held out. */
export async function measureLearned(
  dir: string,
  model: LanguageModel,
  config: RunConfig,
  terminal: Terminal,
): Promise<Learned> {
  const text = await heldOutText(dir)
  const progress = new Progress(terminal)
  const show = (done: number) => progress.report({ kind: 'phase', phase: 'evaluating', done, of: text.ids.length })
  const own = await bitsPerByte(model, text, config.sequenceLength, show)
  progress.close()
  return { bitsPerByte: own, bytes: text.bytes.length, compression: await measureCompression(text.bytes) }
}

export function printLearned({ bitsPerByte: own, bytes, compression }: Learned, terminal: Terminal): void {
  const { bold, green } = terminal.colors
  const others = [...compression].sort((a, b) => b.bitsPerByte - a.bitsPerByte)
  const rows = [...others.map((each) => [each.name, each.bitsPerByte.toFixed(3)]), ['your model', own.toFixed(3)]]
  terminal.print(bold('\nWhat it learned'))
  terminal.print(`Bits that a byte of addresses it never saw needs (${formatBytes(bytes)}; fewer is better):\n`)
  const lines = table(rows).split('\n')
  terminal.print([...lines.slice(0, -1), green(lines.at(-1))].join('\n'))
}

const SAMPLE_TOKENS = 160

/** Streams a text in the model's voice to stdout. */
export async function speak(dir: string, model: LanguageModel, prompt: string, terminal: Terminal): Promise<void> {
  const tokenizer = await Tokenizer.load(`${dir}/model`)
  terminal.print(terminal.colors.bold('\nIn its own voice'))
  terminal.write(prompt)
  const options = { maxTokens: SAMPLE_TOKENS, temperature: 0.8, topP: 0.95, seed: 1 }
  for await (const piece of generateText(model, tokenizer, prompt, options)) terminal.writeText(piece)
  terminal.write('\n')
}

/** Three lines that work when they are pasted. */
export function printNext(dir: string, terminal: Terminal): void {
  const { bold, dim, cyan } = terminal.colors
  const lines = [
    ['Let it write', commandLine('generate', dir, 'My fellow citizens,')],
    ['Train on text of your own, here Hearth’s documentation', commandLine('train', ownText(), '--name', 'mine')],
    ['See everything about the run', commandLine('runs', 'show', dir)],
  ]
  terminal.print(bold('\nNext'))
  for (const [does, line] of lines) terminal.print(`${dim(`# ${does}`)}\n${cyan(line)}`)
}

/** A folder of text that every clone has. */
function ownText(): string {
  const docs = fileURLToPath(new URL('../../../../docs', import.meta.url))
  return existsSync(docs) ? shortPath(docs) : '.'
}
