// Jinja as the task files of lm-evaluation-harness use it, which is more of Python than conversations need: methods of
// lists and strings, the filter regex_replace, names that are not there as errors, and white space left as it stands.
// This is CommonJS in a text, for the process of bounded-template.ts; not here: what a task is (hearth/evaluate).

/**
 * Defines `renderTask(jinja, source, values)`, which gives the text and, of a template that is one expression, its value.
 * The library has no place for filters and methods of ours, so calls of them become calls of functions before it runs.
 */
export const TASK_DIALECT = `
const plain = (x) => {
  if (x === null || typeof x !== 'object') return x
  if (Array.isArray(x)) return x.map(plain)
  if (x instanceof Map) return Object.fromEntries([...x].map(([key, value]) => [key, plain(value)]))
  return 'value' in x ? plain(x.value) : undefined
}
const set = (chars) => '[' + chars.replace(/[\\\\\\]^-]/g, '\\\\$&') + ']'
const from = (text, chars) => (chars == null ? text.trimStart() : text.replace(new RegExp('^' + set(chars) + '+'), ''))
const to = (text, chars) => (chars == null ? text.trimEnd() : text.replace(new RegExp(set(chars) + '+$'), ''))
const OURS = {
  capitalize: (text) => text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase(),
  count: (all, one) => (typeof all === 'string' ? all.split(one).length - 1 : all.filter((each) => each === one).length),
  find: (all, one) => all.indexOf(one),
  index: (all, one) => {
    const at = all.indexOf(one)
    if (at < 0) throw new Error(JSON.stringify(one) + ' is not in ' + JSON.stringify(all))
    return at
  },
  isdigit: (text) => /^[0-9]+$/.test(text),
  join: (between, parts) => parts.join(between),
  lstrip: from,
  rstrip: to,
  strip: (text, chars) => to(from(text, chars), chars),
  regex_replace: (text, pattern, by, count = 0) => {
    let done = 0
    const template = by.replace(/[$]/g, '$$$$').replace(/\\\\(\\d)/g, '$$$1')
    return text.replace(new RegExp(pattern, 'g'), (match, ...rest) => {
      if (count > 0 && done++ >= count) return match
      const groups = rest.slice(0, rest.findIndex((each) => typeof each === 'number'))
      return template.replace(/[$]([$]|\\d)/g, (_, name) => (name === '$' ? '$' : (groups[name - 1] ?? '')))
    })
  },
}
const METHODS = new Set(Object.keys(OURS).filter((name) => name !== 'regex_replace'))
const FILTERS = new Set(['regex_replace', 'capitalize'])
const called = (name, args) => ({ type: 'CallExpression', callee: { type: 'Identifier', value: '__' + name }, args })
const rewritten = (node) => {
  if (node === null || typeof node !== 'object') return node
  if (Array.isArray(node)) return node.map(rewritten)
  const { type, callee, filter } = node
  if (type === 'CallExpression' && callee.type === 'MemberExpression' && !callee.computed && METHODS.has(callee.property.value))
    return called(callee.property.value, [callee.object, ...node.args].map(rewritten))
  if (type === 'FilterExpression') {
    const name = (filter.type === 'CallExpression' ? filter.callee : filter).value
    if (FILTERS.has(name)) return called(name, [node.operand, ...(filter.args ?? [])].map(rewritten))
  }
  for (const key of Object.keys(node)) node[key] = rewritten(node[key])
  return node
}
const namesIn = (node, used, own) => {
  if (node === null || typeof node !== 'object') return
  if (node instanceof Map) return [...node].flat().forEach((each) => namesIn(each, used, own))
  if (Array.isArray(node)) return node.forEach((each) => namesIn(each, used, own))
  if (node.type === 'Identifier') return void used.add(node.value)
  if (node.type === 'Set') namesIn(node.assignee, own, own)
  if (node.type === 'For') namesIn(node.loopvar, own, own), own.add('loop')
  if (node.type === 'Macro') namesIn([node.name, node.args], own, own)
  for (const [key, value] of Object.entries(node)) {
    const isName = (key === 'property' && !node.computed) || key === 'test' && node.type === 'TestExpression'
    if (isName || key === 'key' && node.type === 'KeywordArgumentExpression') continue
    if (key === 'filter') namesIn(value.args, used, own)
    else namesIn(value, used, own)
  }
}
const compiled = new Map()
const compile = (jinja, source) => {
  const kept = compiled.get(source)
  if (kept) return kept
  if (compiled.size > 64) compiled.clear()
  const program = rewritten(jinja.parse(jinja.tokenize(source.endsWith('\\n') ? source + '{# #}' : source)))
  const [used, own] = [new Set(), new Set(['range', 'namespace', 'true', 'false', 'none', 'True', 'False', 'None', 'raise_exception', 'strftime_now'])]
  namesIn(program, used, own)
  const names = [...used].filter((name) => !own.has(name) && !name.startsWith('__'))
  compiled.set(source, { program, names })
  return { program, names }
}
const renderTask = (jinja, source, values) => {
  const { program, names } = compile(jinja, source)
  const missing = names.filter((name) => !(name in values))
  if (missing.length > 0)
    throw new Error('names ' + missing.join(', ') + ', which the row does not have (it has ' + Object.keys(values).join(', ') + ')')
  const env = new jinja.Environment()
  const constants = { true: true, false: false, True: true, False: false, None: null, none: null }
  for (const [name, value] of Object.entries(constants)) env.set(name, value)
  env.set('range', (a, b) => Array.from({ length: b === undefined ? a : b - a }, (_, i) => (b === undefined ? i : a + i)))
  for (const [name, run] of Object.entries(OURS)) env.set('__' + name, (...args) => run(...args.map(plain)))
  for (const [name, value] of Object.entries(values)) env.set(name, value)
  const interpreter = new jinja.Interpreter(env)
  const body = program.body.filter(({ type }) => type !== 'Comment')
  if (body.length === 1 && body[0].type !== 'StringLiteral') {
    const value = interpreter.evaluate(body[0], env)
    if (['ArrayValue', 'TupleValue'].includes(value.type)) return { text: value.toString(), value: plain(value) }
  }
  return { text: interpreter.run(program).value }
}
`
