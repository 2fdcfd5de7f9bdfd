// `hearth chat`: a conversation with a model in the terminal.
import type { ChatSettings } from '../chat/index.js'
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import { quantizeOption } from '../quantize.js'

export const chat = defineCommand({
  name: 'chat',
  summary: 'talk with a model',
  description: [
    'A conversation in the terminal, answers as they come. MODEL is as in hearth generate. Turns are written in the chat template of the tokenizer; a model without one is said to have none, and gets "User:" and "Assistant:".',
    'In the chat, /help lists commands: /system, /reset, /undo, /retry, /save, /load, /set, /adapter, /stats, /exit. A line that ends with \\ goes on with the next; """ begins and ends a text of several lines. Ctrl+C stops an answer, Ctrl+D leaves.',
    'When stdin is no terminal each line is a message, and stdout has the answers alone: a conversation can be a script. It then ends with code 1 if a message or a command was refused.',
  ],
  arguments: {
    model: {
      description: 'Hugging Face folder, GGUF file, owner/name on the hub, a run, or a checkpoint of a run',
      required: true,
    },
  },
  options: {
    system: { kind: 'text', value: 'TEXT', description: 'what the model is told before all else' },
    adapter: {
      kind: 'list',
      value: 'NAME=DIR',
      description: 'adapter folder (PEFT), or a run that trained one; the first is worn, /adapter NAME changes it',
    },
    template: {
      kind: 'text',
      value: 'NAME',
      description: 'form of the turns: chatml, llama2, llama3, mistral, zephyr, vicuna, alpaca, plain, or a Jinja file',
    },
    load: { kind: 'text', value: 'FILE', description: 'go on with a chat that /save wrote' },
    overflow: {
      kind: 'text',
      value: 'POLICY',
      choices: ['error', 'drop-oldest'],
      default: 'error',
      description: 'when the conversation outgrows the context: refuse, or no longer read the oldest turns',
    },
    maxTokens: { kind: 'integer', value: 'N', minimum: 1, description: 'tokens of an answer at most; 1024' },
    temperature: {
      kind: 'number',
      value: 'T',
      minimum: 0,
      description: '0 always takes the likeliest token; higher is bolder; the model’s own, or 0.8',
    },
    stop: { kind: 'list', value: 'TEXT', description: 'end an answer before this text' },
    seed: { kind: 'integer', value: 'N', minimum: 0, description: 'the same seed gives the same answers' },
    set: { kind: 'list', value: 'NAME=VALUE', description: 'any setting of /set, as top-p=0.9' },
    quantize: quantizeOption,
  },
  examples: [
    { line: 'hearth chat runs/quickstart', does: 'Talk with a run' },
    {
      line: "hearth chat models/llama --adapter polite=runs/polite --system 'Answer in one sentence.'",
      does: 'With an adapter and a system prompt',
    },
    { line: 'hearth chat models/llama --temperature 0 < questions.txt', does: 'A conversation from a file' },
  ],
  async run({ arguments: { model }, options, terminal }) {
    const { changeSettings, chatWith } = await import('../chat/index.js')
    const { overflow, maxTokens = 1024, temperature, seed, set, system, adapter, template, load, stop } = options
    if (stop.includes('')) throw new UsageError(['--stop needs at least one character'], 'chat')
    const given: ChatSettings = {
      overflow: overflow === 'drop-oldest' ? overflow : 'error',
      maxTokens,
      ...(temperature !== undefined && { temperature }),
      ...(seed !== undefined && { seed }),
    }
    const settings = set.length === 0 ? given : changeSettings(given, set.join(' '))
    const line = { system, adapter, template, load, stop, settings, quantize: options.quantize }
    await chatWith(model, line, terminal)
  },
})
