// From a line of `hearth chat` to a chat that can begin.
import { ChatTemplate, type Tokenizer } from 'hearth/data'
import { Chat, Engine, endTokensOf } from 'hearth/generate'
import { existsSync, statSync } from 'node:fs'
import { readTextFile } from '../input.js'
import { openTextModel } from '../model-source.js'
import type { Terminal } from '../terminal.js'
import { ChatAdapters } from './chat-adapters.js'
import { chatCommands } from './chat-commands.js'
import { ChatInput } from './chat-input.js'
import { ChatSession } from './chat-session.js'
import type { ChatSettings } from './chat-settings.js'
import { loadChat } from './saved-chat.js'

export interface ChatLine {
  system: string | undefined
  template: string | undefined
  adapter: readonly string[]
  load: string | undefined
  stop: readonly string[]
  quantize: string | undefined
  settings: ChatSettings
}

/**
 * Chats until the person, or the script, has had enough.
 * @throws CommandError and HearthErrors for a model, template, adapter or saved chat that cannot be used
 */
export async function chatWith(word: string, line: ChatLine, terminal: Terminal): Promise<void> {
  const { name, model, tokenizer } = await openTextModel(word, terminal.note, { quantize: line.quantize })
  const template = chosenTemplate(line.template, tokenizer)
  const { contextLength } = model.family.shape(model.config)
  const engine = new Engine(model, { maxBatch: 1, cacheTokens: contextLength })
  try {
    const bare = { tokenizer, template }
    const adapters = new ChatAdapters(engine, model, bare)
    const [worn = 'none'] = line.adapter.map((each) => adapters.add(each))
    const chat = new Chat({ engine, contextLength, endTokens: endTokensOf(model) }, bare, line.system)
    chat.voice = await adapters.voice(worn)
    if (line.load !== undefined) {
      const { system, turns } = loadChat(line.load)
      chat.system = line.system ?? system
      chat.turns = turns
    }
    const temperature = line.settings.temperature ?? model.generation?.temperature ?? 0.8
    const settings = { ...line.settings, temperature }
    const input = openInput(terminal)
    const session = new ChatSession({ chat, adapters, settings, contextLength, stop: line.stop, terminal }, input)
    if (chat.voice.template.name === 'plain' && line.template === undefined) session.note(plainly(name))
    if (input.interactive) session.note(`${name}${worn === 'none' ? '' : `, wearing ${worn}`}. /help lists commands.`)
    await session.run()
  } finally {
    await engine.close()
  }
}

/** A name, Jinja itself, or a file of it; the tokenizer's own when none is given. */
function chosenTemplate(choice: string | undefined, tokenizer: Tokenizer): ChatTemplate {
  const isFile = choice !== undefined && existsSync(choice) && statSync(choice).isFile()
  return ChatTemplate.choose(isFile ? readTextFile(choice) : choice, tokenizer)
}

const plainly = (name: string): string =>
  `${name} has no chat template: most likely it was never taught to chat, and goes on with text rather than answers. ` +
  'Turns are given to it as "User: …" and "Assistant: …"; --template NAME takes another form.'

function openInput(terminal: Terminal): ChatInput {
  const { cyan, dim } = terminal.colors
  return new ChatInput({
    input: process.stdin,
    output: process.stdout,
    prompts: [cyan('> '), dim('… ')],
    words: chatCommands.map(({ name }) => `/${name}`),
    onIdleInterrupt: () => terminal.note(terminal.noteColors.dim('(Ctrl+D or /exit leaves)')),
  })
}
