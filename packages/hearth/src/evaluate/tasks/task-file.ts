// Task files as they lie on disk: YAML, what they include, and groups with their members. Python in them (`!function`) is
// named, never run. Not here: what the fields mean (task-definition.ts).
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FormatError, HearthError } from '@hearth/torch'
import { parseDocument } from 'yaml'

export type Fields = Record<string, unknown>

/** The fields of a task or of a group, with what they include; and where they were written. */
export interface RawTask {
  file: string
  fields: Fields
}

/** A Python function that a file refers to. */
class PythonFunction {
  constructor(readonly name: string) {}
}

const functionTag = { tag: '!function', resolve: (name: string) => new PythonFunction(name) }
const DEEPEST_INCLUDE = 8

/**
 * @throws HearthError when there is no such file; FormatError when it is no YAML, or needs Python
 */
export function readTaskFile(file: string): RawTask {
  const fields = withIncludes(readYaml(file), file, 0)
  refuseFunctions(fields, file)
  return { file, fields }
}

/** A member of a group that is written within the group's file. */
export function inlineTask(fields: Fields, file: string): RawTask {
  const whole = withIncludes(fields, file, 0)
  refuseFunctions(whole, file)
  return { file, fields: whole }
}

function readYaml(file: string): Fields {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new HearthError(`${file}: cannot be read: ${(cause as Error).message}`, {
      cause,
      remedy: 'give the path of a task file, as lm-evaluation-harness has them',
    })
  }
  const document = parseDocument(text, {
    customTags: [functionTag],
    merge: true,
    uniqueKeys: false,
    maxAliasCount: 100,
  } as never)
  const problems = [...document.errors, ...document.warnings].map(({ message }) => `  ${message.split('\n')[0]}`)
  if (problems.length > 0) throw new FormatError([`${file}: is no YAML that is understood:`, ...problems].join('\n'))
  const fields: unknown = document.toJS()
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    throw new FormatError(`${file}: holds no fields; expected a task, as lm-evaluation-harness writes it`)
  return fields as Fields
}

/** What a file says wins over what it includes, and a later include over an earlier one. */
function withIncludes(fields: Fields, file: string, depth: number): Fields {
  if (depth > DEEPEST_INCLUDE) throw new FormatError(`${file}: includes go in a circle, or deeper than ${depth} files`)
  const { include = [], ...own } = fields
  const included = [include].flat().map((name) => {
    if (typeof name !== 'string') throw new FormatError(`${file}: include is ${JSON.stringify(name)}, expected a path`)
    const path = join(dirname(file), name)
    return withIncludes(readYaml(path), path, depth + 1)
  })
  return Object.assign({}, ...included, own) as Fields
}

function refuseFunctions(fields: Fields, file: string): void {
  const found: string[] = []
  const walk = (value: unknown, path: string): void => {
    if (value instanceof PythonFunction) found.push(`  ${path}: !function ${value.name}`)
    else if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`)
  }
  walk(fields, '')
  if (found.length > 0)
    throw new FormatError([`${file}: calls Python, which is not run here:`, ...found].join('\n'), {
      remedy: 'write it as Jinja (methods of strings and the filter regex_replace are there), or take another task',
    })
}
