// `--set path=value`: any field of a configuration by its dotted path. This places values; whether a field exists and
// what it may hold is the schema's business (resolveConfig).
import { UsageError } from './failure.js'

type Fields = Record<string, unknown>

/**
 * A copy of `config` with each setting placed. Values are read as JSON, and as text where they are not JSON; an empty
 * value removes the field, which gives it its default again.
 * @param settings `path=value`, as `optimizer.learningRate=1e-3`
 * @param command whose line it is, for messages
 * @throws UsageError listing every setting that is not of that form
 */
export function applySettings(config: object, settings: readonly string[], command = 'train'): Fields {
  const changed = copied(config) as Fields
  const problems: string[] = []
  for (const setting of settings) {
    const equals = setting.indexOf('=')
    const path = setting.slice(0, equals).split('.')
    if (equals < 1 || path.some((key) => !/^\w+$/.test(key) || key === '__proto__'))
      problems.push(`--set takes path=value, as optimizer.learningRate=1e-3; got ${JSON.stringify(setting)}`)
    else place(changed, path, readValue(setting.slice(equals + 1)))
  }
  if (problems.length > 0) throw new UsageError(problems, command)
  return changed
}

// Not structuredClone: a recipe may hold what cannot be cloned, and the schema says so better.
function copied(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copied)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copied(inner)]))
}

function place(fields: Fields, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path
  if (rest.length === 0) {
    if (value === undefined) Reflect.deleteProperty(fields, key)
    else fields[key] = value
    return
  }
  const inner = Object.hasOwn(fields, key) ? fields[key] : undefined
  const next = typeof inner === 'object' && inner !== null ? inner : /^\d+$/.test(rest[0] ?? '') ? [] : {}
  fields[key] = next
  place(next as Fields, rest, value)
}

// JSON has no words for these, and "NaN" as a text would give a message about texts.
const NOT_FINITE: Record<string, number> = { NaN, Infinity, '-Infinity': -Infinity }

function readValue(text: string): unknown {
  if (text === '') return undefined
  if (Object.hasOwn(NOT_FINITE, text)) return NOT_FINITE[text]
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
