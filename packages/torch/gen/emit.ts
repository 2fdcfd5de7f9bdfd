// Writes the typed functions: one function per allow-list entry, choosing among its overloads by the arguments' types.
// Arguments without a default are positional, all others go into one options object; nothing is dropped but layout marks.
import type { Entry } from './allow-list.js'
import type { Schema, SchemaValue } from './parse.js'
import { argumentType, camelCase, isHidden, isOptional, resultType } from './types.js'

export interface Operator {
  entry: Entry
  /** The schemas of the entry's overloads, in its order. */
  schemas: Schema[]
}

const isOption = (value: SchemaValue) => value.defaultText !== undefined || (value.keywordOnly && isOptional(value))
/** The arguments that a typed function takes by position, and those that it takes as options. */
export const positional = (schema: Schema) => schema.arguments.filter((value) => !isOption(value) && !isHidden(value))
export const optional = (schema: Schema) => schema.arguments.filter((value) => isOption(value) && !isHidden(value))
export const parameterName = (value: SchemaValue) => camelCase(value.name)
const constantName = (schema: Schema) => `$${schema.name.split('::')[1]}${schema.overload ? `_${schema.overload}` : ''}`

interface Parameter {
  name: string
  spelling: string
  required: boolean
}

/** The positional parameters of all overloads together; one that an overload lacks becomes optional. */
function mergeParameters(schemas: Schema[]): Parameter[] {
  const lists = schemas.map(positional)
  const longest = lists.reduce((a, b) => (b.length > a.length ? b : a))
  return longest.map((value, index) => {
    const present = lists.map((list) => list[index]).filter((other) => other !== undefined)
    const spellings = [...new Set(present.map((other) => argumentType(other).spelling))]
    const nullable = present.some((other) => other.type.endsWith('?'))
    return {
      name: parameterName(value),
      spelling: spellings.join(' | '),
      required: present.length === lists.length && !nullable,
    }
  })
}

function optionsType(schemas: Schema[]): string {
  const fields = new Map<string, Set<string>>()
  for (const value of schemas.flatMap(optional)) {
    const spellings = fields.get(parameterName(value)) ?? new Set()
    fields.set(parameterName(value), spellings.add(argumentType(value).spelling))
  }
  // An argument that another overload takes by position is not an option too.
  const taken = new Set(mergeParameters(schemas).map((parameter) => parameter.name))
  const lines = [...fields]
    .filter(([name]) => !taken.has(name))
    .map(([name, spellings]) => `${name}?: ${[...spellings].join(' | ')}`)
  return lines.length === 0 ? '' : `{ ${lines.join('; ')} }`
}

/** What tells this overload from those after it, as an expression; undefined when nothing does. */
function guard(schema: Schema, rest: Schema[], parameters: Parameter[]): string | undefined {
  const mine = positional(schema)
  const tests: string[] = []
  parameters.forEach((parameter, index) => {
    const value = mine[index]
    const others = rest.map((other) => positional(other)[index])
    if (value === undefined) tests.push(`${parameter.name} === undefined`)
    else if (others.some((other) => other !== undefined && argumentType(other).shape !== argumentType(value).shape))
      tests.push(typeTest(value, parameter.name))
  })
  // Overloads that differ in an option: `clamp(x, { min: tensor })`.
  for (const value of optional(schema)) {
    const other = rest.flatMap(optional).find((candidate) => candidate.name === value.name)
    if (other && argumentType(other).shape !== argumentType(value).shape) {
      const name = `options?.${parameterName(value)}`
      tests.push(`(${name} === undefined || ${typeTest(value, name)})`)
    }
    if (!other && rest.length > 0) tests.push(`options?.${parameterName(value)} !== undefined`)
  }
  return tests.length === 0 ? undefined : tests.join(' && ')
}

function typeTest(value: SchemaValue, name: string): string {
  const shape = argumentType(value).shape
  if (shape === 'tensor') return `typeof ${name} === 'object'`
  if (shape === 'array') return `Array.isArray(${name})`
  return `typeof ${name} === '${shape}'`
}

function callText(schema: Schema, merged: Schema[]): string {
  const parameters = mergeParameters(merged)
  const order = positional(schema)
  const spelledAs = new Map<string, Set<string>>()
  for (const value of merged.flatMap((other) => other.arguments).filter((other) => !isHidden(other)))
    spelledAs.set(value.name, (spelledAs.get(value.name) ?? new Set()).add(argumentType(value).spelling))
  const values = schema.arguments.map((value) => {
    if (isHidden(value)) return 'undefined'
    const type = argumentType(value)
    // Overloads may name one position differently: the function has one name for it.
    const source = isOption(value) ? `options?.${parameterName(value)}` : parameters[order.indexOf(value)]!.name
    // A union of overloads is narrowed by the guard, which the compiler cannot always follow.
    const narrowed =
      spelledAs.get(value.name)!.size > 1
        ? `(${source} as ${type.spelling}${isOptional(value) ? ' | undefined' : ''})`
        : source
    if (!isOptional(value) || type.pass('x') === 'x') return type.pass(narrowed)
    return type.pass('x').endsWith('?.handle')
      ? type.pass(narrowed)
      : `optional(${narrowed}, ${type.pass('').slice(0, -2)})`
  })
  while (values.at(-1) === 'undefined') values.pop()
  return `${constantName(schema)}(${values.join(', ')})`
}

function resultText(schema: Schema, call: string): string {
  const written = schema.arguments.filter((value) => value.written)
  if (written.length > 0) return `${call}\n    return ${parameterName(written[0]!)}`
  const type = resultType(schema.returns)
  if (type === 'Tensor') return `return wrap(${call})`
  if (type === 'void') return call
  const wrapper = type === 'Tensor[]' ? 'wrapList' : type.startsWith('[') ? 'wrapTuple' : ''
  return wrapper ? `return ${wrapper}<${type}>(${call})` : `return ${call} as ${type}`
}

function returnType(schema: Schema): string {
  return schema.arguments.some((value) => value.written) ? 'Tensor' : resultType(schema.returns)
}

function signature(schemas: Schema[], parameters: Parameter[]): string {
  const options = optionsType(schemas)
  const list = parameters.map((parameter, index) => {
    const last = parameters.slice(index).every((later) => !later.required)
    return `${parameter.name}${!parameter.required && last ? '?' : ''}: ${parameter.spelling}${!parameter.required && !last ? ' | undefined' : ''}`
  })
  if (options) list.push(`options?: ${options}`)
  return list.join(', ')
}

/** The function of one entry. */
export function emitFunction({ entry, schemas }: Operator): string {
  const parameters = mergeParameters(schemas)
  const results = new Set(schemas.map(returnType))
  if (results.size > 1)
    throw new Error(`${entry.name}: overloads return ${[...results].join(' and ')}; name them apart in ops.txt`)
  const branches = schemas.map((schema, index) => {
    const body = resultText(schema, callText(schema, schemas))
    const test = guard(schema, schemas.slice(index + 1), parameters)
    if (index === schemas.length - 1) return `    ${body}`
    if (test === undefined)
      throw new Error(`${entry.name}: nothing tells ${schema.overload} from the overloads after it`)
    return `    if (${test}) {\n    ${body}\n    }`
  })
  const doc = schemas.map((schema) => `\`${schema.name}${schema.overload ? `.${schema.overload}` : ''}\``).join(', ')
  return `/** ${doc} */\nexport function ${entry.name}(${signature(schemas, parameters)}): ${[...results][0]} {\n${branches.join('\n')}\n}`
}

/** The method of an entry whose first argument is a tensor called self or input; undefined for the others. */
export function emitMethod({ entry, schemas }: Operator): string | undefined {
  const parameters = mergeParameters(schemas)
  const first = parameters[0]
  if (first?.spelling !== 'Tensor' || !['self', 'input'].includes(first.name)) return undefined
  // A parameter called like its operator would hide it: pad(pad).
  const rest = parameters
    .slice(1)
    .map((parameter) => (parameter.name === entry.name ? { ...parameter, name: `${parameter.name}_` } : parameter))
  const names = [...rest.map((parameter) => parameter.name), ...(optionsType(schemas) ? ['options'] : [])]
  const result = returnType(schemas[0]!)
  return `  ${entry.name}(${signature(schemas, rest)}): ${result} {\n    return ${entry.name}(${['this as unknown as Tensor', ...names].join(', ')})\n  }`
}

/** Binding of each overload's operator. */
export function emitBindings(operators: Operator[]): string {
  const lines = operators.flatMap(({ schemas }) =>
    schemas.map((schema) => `const ${constantName(schema)} = bind('${schema.name}', '${schema.overload}')`),
  )
  return [...new Set(lines)].join('\n')
}
