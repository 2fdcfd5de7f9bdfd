// The settings of a chat by the names that /set knows, which are those of the line without its dashes.
import { generationIssues, type ChatOverflow, type GenerationSettings } from 'hearth/generate'
import { CommandError } from '../failure.js'

/** What can be set; a setting that is not there is the model's own. */
export interface ChatSettings {
  temperature?: number
  topK?: number
  topP?: number
  minP?: number
  repetitionPenalty?: number
  frequencyPenalty?: number
  presencePenalty?: number
  maxTokens?: number
  seed?: number
  overflow: ChatOverflow
}

type NumberKey = Exclude<keyof ChatSettings, 'overflow'>

const KEYS: readonly NumberKey[] = [
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'frequencyPenalty',
  'presencePenalty',
  'maxTokens',
  'seed',
]

const nameOf = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
/** `top-k`, `top_k` and `topK` are one name. */
const plain = (name: string): string => name.replace(/[-_]/g, '').toLowerCase()

/** Names that /set knows. */
export const settingNames: readonly string[] = [...KEYS.map(nameOf), 'overflow']

/**
 * Changes settings as the words of /set say, all or none.
 * @param words `temperature=0.2 top-k=40`; an empty value is the model's own again
 * @throws CommandError naming everything that is wrong
 */
export function changeSettings(settings: ChatSettings, words: string): ChatSettings {
  const changed = { ...settings }
  const problems = words
    .trim()
    .replace(/\s*=\s*/g, '=')
    .split(/\s+/)
    .flatMap((word) => changeOne(changed, word))
  if (problems.length > 0) throw new CommandError(problems.join('\n'))
  return changed
}

function changeOne(settings: ChatSettings, word: string): string[] {
  const [name = '', value] = word.split(/=(.*)/s)
  if (value === undefined) return [`${JSON.stringify(word)} is no NAME=VALUE, as in /set temperature=0.5`]
  if (plain(name) === 'overflow') {
    if (value !== 'error' && value !== 'drop-oldest')
      return [`overflow is ${JSON.stringify(value)}; expected error or drop-oldest`]
    settings.overflow = value
    return []
  }
  const key = KEYS.find((each) => plain(each) === plain(name))
  if (key === undefined) return [`there is no setting ${JSON.stringify(name)}; there are ${settingNames.join(', ')}`]
  if (value === '') {
    Reflect.deleteProperty(settings, key)
    return []
  }
  const issues = generationIssues({ [key]: Number(value) } satisfies GenerationSettings)
  if (issues.length > 0) return [`${nameOf(key)} is ${JSON.stringify(value)}; ${issues[0]!.message.split(', got')[0]}`]
  settings[key] = Number(value)
  return []
}

/** One line a setting. */
export function settingLines(settings: ChatSettings): string[] {
  const width = Math.max(...settingNames.map((name) => name.length))
  return [...KEYS, 'overflow' as const].map(
    (key) => `  ${nameOf(key).padEnd(width)}  ${settings[key] ?? 'as the model says'}`,
  )
}
