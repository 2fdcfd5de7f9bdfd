// The /commands of a chat, one entry each: /help and completion are derived from this list.
import { CommandError } from '../failure.js'
import { changeSettings, settingLines } from './chat-settings.js'
import type { ChatSession } from './chat-session.js'
import { loadChat, saveChat } from './saved-chat.js'

export interface ChatCommand {
  name: string
  /** What stands after it: `FILE`. */
  takes?: string
  does: string
  /** @param rest what was written after the name, trimmed */
  run: (session: ChatSession, rest: string) => void | Promise<void>
}

const file = (command: string, rest: string): string => {
  if (rest === '') throw new CommandError(`/${command} needs the name of a file`)
  return rest
}

export const chatCommands: readonly ChatCommand[] = [
  { name: 'help', does: 'this list', run: (session) => helpLines().forEach((line) => session.note(line)) },
  {
    name: 'system',
    takes: '[TEXT]',
    does: 'what the model is told before all else; - takes it away, nothing shows it',
    run: ({ chat, note }, rest) => {
      if (rest === '') note(chat.system ?? 'There is no system prompt.')
      else chat.system = rest === '-' ? undefined : rest
    },
  },
  { name: 'reset', does: 'begin anew; system prompt and settings stay', run: ({ chat }) => void (chat.turns = []) },
  {
    name: 'undo',
    does: 'take back the last question and its answer',
    run: ({ chat, note }) => {
      const turn = chat.undo()
      note(turn === undefined ? 'There is nothing to take back.' : `Taken back: ${firstLine(turn.user)}`)
    },
  },
  { name: 'retry', does: 'ask the last question again', run: (session) => session.retry() },
  {
    name: 'save',
    takes: 'FILE',
    does: 'write the chat to a file',
    run: ({ chat, note }, rest) => {
      saveChat(file('save', rest), chat)
      note(`Saved ${turnsOf(chat.turns.length)}.`)
    },
  },
  {
    name: 'load',
    takes: 'FILE',
    does: 'go on with a chat that was saved',
    run: ({ chat, note }, rest) => {
      const { system, turns } = loadChat(file('load', rest))
      chat.system = system
      chat.turns = turns
      note(`Loaded ${turnsOf(turns.length)}.`)
    },
  },
  {
    name: 'set',
    takes: '[NAME=VALUE]',
    does: 'change how it answers, as /set temperature=0.2; nothing shows all; NAME= is the model’s own again',
    run: (session, rest) => {
      if (rest === '') settingLines(session.settings).forEach((line) => session.note(line))
      else session.settings = changeSettings(session.settings, rest)
    },
  },
  {
    name: 'adapter',
    takes: '[NAME]',
    does: 'wear an adapter; none for the bare model, NAME=DIR for a new one, nothing shows all',
    run: (session, rest) => session.wear(rest),
  },
  { name: 'stats', does: 'tokens and speed', run: (session) => session.showStats() },
  { name: 'exit', does: 'leave; so does Ctrl+D', run: (session) => session.leave() },
]

function helpLines(): string[] {
  const shown = chatCommands.map(({ name, takes, does }) => [`/${name}${takes ? ` ${takes}` : ''}`, does] as const)
  const width = Math.max(...shown.map(([name]) => name.length))
  return [
    ...shown.map(([name, does]) => `  ${name.padEnd(width)}  ${does}`),
    '  A line that ends with \\ goes on with the next; """ begins and ends a text of several lines.',
    '  Ctrl+C stops an answer. A message that begins with / is written with //.',
  ]
}

export const turnsOf = (count: number): string => (count === 1 ? '1 turn' : `${count} turns`)

function firstLine(text: string): string {
  const [line = ''] = text.split('\n')
  return line.length < text.length || line.length > 60 ? `${line.slice(0, 60)} …` : line
}
