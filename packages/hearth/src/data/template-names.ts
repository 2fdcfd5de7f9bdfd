// The names that a Jinja template refers to and that nobody gives it. Jinja writes nothing in their place, so that a
// misspelt one leaves something out of every text in silence. Not here: rendering (chat-template.ts).
import { Template } from '@huggingface/jinja'

/** What a chat template is given. */
export const TEMPLATE_NAMES = ['messages', 'add_generation_prompt', 'bos_token', 'eos_token', 'tools'] as const

/** Words of Jinja itself, and functions that transformers gives to templates. */
const BUILT_IN = new Set(
  'loop namespace range dict caller raise_exception strftime_now true false none True False None'.split(' '),
)

interface Node {
  type: string
  [part: string]: unknown
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && 'type' in value

/** Every node below a value: nodes lie in lists, in maps and in each other. */
function* nodesOf(value: unknown): Generator<Node> {
  if (Array.isArray(value)) for (const item of value) yield* nodesOf(item)
  else if (value instanceof Map) for (const pair of value) yield* nodesOf(pair)
  else if (isNode(value)) {
    yield value
    // Operators are tokens of the text, which have a type too.
    for (const [name, part] of Object.entries(value)) if (name !== 'operator') yield* nodesOf(part)
  }
}

const namesIn = (value: unknown): string[] =>
  [...nodesOf(value)].flatMap(({ type, value }) => (type === 'Identifier' ? [value as string] : []))

/** Parts of a node whose names are made there. */
const MAKES: Readonly<Record<string, readonly string[]>> = {
  Set: ['assignee'],
  For: ['loopvar'],
  Macro: ['name', 'args'],
  CallStatement: ['callerArgs'],
}

/** Parts in which a template asks whether there is such a thing, or names what is no variable. */
const ASKS: Readonly<Record<string, readonly string[]>> = {
  If: ['test'],
  Ternary: ['condition'],
  SelectExpression: ['test'],
  TestExpression: ['operand', 'test'],
}

function partsOf(node: Node): unknown[] {
  const { type } = node
  const parts = [...(MAKES[type] ?? []), ...(ASKS[type] ?? [])].map((part) => node[part])
  if (type === 'BinaryExpression') {
    const operator = (node.operator as { value: string }).value
    if (operator === 'or' || operator === 'and') parts.push(node.left, node.right)
  }
  if (type === 'FilterExpression' && namesIn(node.filter)[0] === 'default') parts.push(node.operand)
  return parts
}

/** Names that stand for parts of something else: fields, filters, keywords. */
function* fieldsOf(node: Node): Generator {
  if (node.type === 'MemberExpression' && node.computed === false) yield node.property
  if (node.type === 'KeywordArgumentExpression') yield node.key
  const filter = node.filter as Node | undefined
  if (filter !== undefined) yield filter.type === 'CallExpression' ? filter.callee : filter
}

/**
 * The names that a template uses without asking whether they are there, and that neither it nor its caller makes.
 * @throws Error of the parser, when it is no Jinja
 */
export function unknownNames(source: string): string[] {
  const nodes = [...nodesOf(new Template(source).parsed)]
  const known = new Set<string>([...TEMPLATE_NAMES, ...BUILT_IN, ...nodes.flatMap((node) => namesIn(partsOf(node)))])
  const fields = new Set(nodes.flatMap((node) => [...fieldsOf(node)]))
  const used = nodes.flatMap((node) => (node.type === 'Identifier' && !fields.has(node) ? [node.value as string] : []))
  return [...new Set(used)].filter((name) => !known.has(name))
}
