// Reads one operator schema as libtorch prints it, e.g.
// `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`.
// Knows the grammar only; what a type becomes in TypeScript is in types.ts.

/** One argument or result of an operator. */
export interface SchemaValue {
  name: string
  /** The declared type without alias marks: `Tensor`, `int[2]`, `ScalarType?`, `Tensor?[]`. */
  type: string
  /** The argument is written to: `(a!)`. */
  written: boolean
  /** The text behind `=`; undefined when the argument has no default. */
  defaultText: string | undefined
  /** Stands behind `*` in the schema. */
  keywordOnly: boolean
}

export interface Schema {
  /** Without the overload: `aten::add`. */
  name: string
  overload: string
  arguments: SchemaValue[]
  returns: SchemaValue[]
}

/**
 * Parses one schema line.
 * @throws Error naming the line when it does not follow the grammar.
 */
export function parseSchema(line: string): Schema {
  const match = /^(\w+::\w+)(?:\.(\w+))?\((.*)\) -> (.+)$/.exec(line)
  if (!match) throw new Error(`not an operator schema: ${line}`)
  const [, name, overload, inner, results] = match
  return {
    name: name!,
    overload: overload ?? '',
    arguments: parseArguments(splitTopLevel(inner!)),
    returns: parseReturns(results!),
  }
}

function parseArguments(parts: string[]): SchemaValue[] {
  const star = parts.indexOf('*')
  return parts
    .filter((part) => part !== '*')
    .map((part, index) => ({ ...parseValue(part), keywordOnly: star >= 0 && index >= star }))
}

function parseReturns(text: string): SchemaValue[] {
  if (text === '()') return []
  const inner = text.startsWith('(') && text.endsWith(')') ? text.slice(1, -1) : text
  return splitTopLevel(inner).map((part) => parseValue(part))
}

function parseValue(text: string): SchemaValue {
  const match = /^([A-Za-z_][\w.]*(?:\([^)]*\))?[\w[\]?]*(?:\(\w+!?[^)]*\))?[\w[\]?]*)(?:\s+(\w+))?(?:=(.*))?$/.exec(
    text,
  )
  if (!match) throw new Error(`not a schema argument: ${text}`)
  const [, rawType, name, defaultText] = match
  const marks = /\([^)]*\)/.exec(rawType!)?.[0] ?? ''
  return {
    name: name ?? '',
    type: rawType!.replace(/\([^)]*\)/g, '').replace(/SymInt/g, 'int'),
    written: marks.includes('!'),
    defaultText,
    keywordOnly: false,
  }
}

/** Splits at commas that are not inside brackets or quotes. */
function splitTopLevel(text: string): string[] {
  const parts: string[] = []
  let depth = 0
  let quoted = false
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (char === '"') quoted = !quoted
    if (quoted) continue
    if ('([{'.includes(char)) depth++
    if (')]}'.includes(char)) depth--
    if (char === ',' && depth === 0) {
      parts.push(text.slice(start, i).trim())
      start = i + 1
    }
  }
  const last = text.slice(start).trim()
  return last === '' ? parts : [...parts, last]
}
