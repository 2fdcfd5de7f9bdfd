// `hearth generate`: text from a model, as it is written.
import type { Tokenizer } from 'hearth/data'
import { defineCommand } from '../command.js'
import { exitCodes } from '../failure.js'
import { readStdin } from '../input.js'
import { quantizeOption } from '../quantize.js'

export const generate = defineCommand({
  name: 'generate',
  summary: 'write text with a model',
  description: [
    'Writes the text that follows PROMPT to stdout, as it comes. MODEL is a run (its finished model, or else its newest checkpoint), one checkpoint of a run, or a Hugging Face folder, or a name on the hub (owner/name, owner/name@revision). PROMPT - reads stdin; without a prompt the model begins a text of its own.',
    'Settings that are not given are those of the model (generation_config.json), else those named here.',
  ],
  arguments: {
    model: {
      description: 'Hugging Face folder, GGUF file, owner/name on the hub, a run, or a checkpoint of a run',
      required: true,
    },
    prompt: { description: 'text to go on from; - for stdin', many: true },
  },
  options: {
    maxTokens: { kind: 'integer', value: 'N', minimum: 1, description: 'tokens to write at most; 256' },
    temperature: {
      kind: 'number',
      value: 'T',
      minimum: 0,
      description: '0 always takes the likeliest token; higher is bolder; 0.8',
    },
    topK: {
      kind: 'integer',
      value: 'K',
      minimum: 0,
      description: 'only the K likeliest tokens; 0 for all',
    },
    topP: {
      kind: 'number',
      value: 'P',
      minimum: 0,
      maximum: 1,
      description: 'only the likeliest tokens that together reach this probability',
    },
    minP: {
      kind: 'number',
      value: 'P',
      minimum: 0,
      maximum: 1,
      description: 'only tokens at least this share as likely as the likeliest',
    },
    repetitionPenalty: {
      kind: 'number',
      value: 'R',
      minimum: 0,
      description: 'above 1, tokens that were there before become less likely',
    },
    adapter: { kind: 'text', value: 'DIR', description: 'adapter folder (PEFT) that the model wears' },
    chat: { kind: 'flag', description: 'PROMPT is what a user says, in the chat template of the model' },
    quantize: quantizeOption,
    stop: { kind: 'list', value: 'TEXT', description: 'end before this text' },
    seed: { kind: 'integer', value: 'N', minimum: 0, description: 'the same seed writes the same text' },
    json: { kind: 'flag', description: 'print the text and how it ended as JSON, at the end' },
  },
  examples: [
    { line: "hearth generate runs/quickstart 'The state of the Union'", does: 'Go on from a prompt' },
    {
      line: 'hearth generate models/pythia-160m - --temperature 0 < prompt.txt',
      does: 'A prompt from a file, always the likeliest token',
    },
  ],
  async run({
    arguments: { model: word, prompt: words },
    options: { json, adapter, chat, quantize, ...options },
    terminal,
  }) {
    const prompt = words[0] === '-' ? await readStdin() : words.join(' ')
    const { openTextModel } = await import('../model-source.js')
    const { generateText } = await import('hearth/generate')
    const { model, tokenizer } = await openTextModel(word, terminal.note, { adapter, quantize })
    const asked = chat ? await chatPrompt(tokenizer, prompt) : prompt
    const abort = new AbortController()
    process.once('SIGINT', () => abort.abort())
    const temperature = options.temperature ?? model.generation?.temperature ?? 0.8
    const settings = { ...options, temperature, signal: abort.signal }
    const pieces = generateText(model, tokenizer, asked, settings)
    let text = ''
    let next = await pieces.next()
    if (!json && !chat) terminal.writeText(prompt)
    for (; !next.done; next = await pieces.next()) {
      if (json) text += next.value
      else terminal.writeText(next.value)
    }
    if (json) terminal.json({ prompt, text, ...next.value })
    else terminal.write('\n')
    if (next.value.reason === 'aborted') terminal.exitCode = exitCodes.interrupted
  },
})

/** The ids of a conversation of one message, where the assistant begins. */
async function chatPrompt(tokenizer: Tokenizer, content: string): Promise<Int32Array> {
  const { ChatTemplate } = await import('hearth/data')
  const text = ChatTemplate.choose(undefined, tokenizer).render([{ role: 'user', content }], {
    addGenerationPrompt: true,
  })
  return tokenizer.encode(text, { addSpecialTokens: false })
}
