// Calls of tools in what a model writes, in the forms that open models were taught: Hermes and Qwen (<tool_call>), Mistral
// ([TOOL_CALLS]), Llama 3 (bare JSON). Text before a call is shown as it comes; a call is shown when it is whole.
import { randomUUID } from 'node:crypto'

/** A call, as OpenAI's answers have it. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

const MARKS = ['<tool_call>', '[TOOL_CALLS]', '<|python_tag|>'] as const

/** Takes the text of an answer in pieces and holds back what may be a call. */
export class ToolCallReader {
  readonly #names: ReadonlySet<string>
  #held = ''
  #mayBeBare = true
  #inCall = false

  /** @param names of the tools that may be called */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names)
  }

  /** @returns the text that is certainly none of a call */
  push(text: string): string {
    this.#held += text
    if (this.#inCall) return ''
    const start = this.#held.trimStart()
    // An answer that begins with a brace may be a call without a mark, until its end is there.
    if (this.#mayBeBare && (start === '' || start.startsWith('{') || start.startsWith('['))) return ''
    this.#mayBeBare = false
    const at = Math.min(...MARKS.map((mark) => this.#held.indexOf(mark)).map((found) => (found < 0 ? Infinity : found)))
    if (at < Infinity) {
      this.#inCall = true
      return this.#release(at)
    }
    return this.#release(this.#held.length - markBeginningAtEnd(this.#held))
  }

  /** What is left at the end: the calls, or text that was none. */
  end(): { text: string; calls: ToolCall[] } {
    const calls = readCalls(this.#held, this.#names)
    return { text: calls.length > 0 ? '' : this.#held, calls }
  }

  #release(length: number): string {
    const text = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    return text
  }
}

/** Length of the longest end of the text with which a mark begins. */
function markBeginningAtEnd(text: string): number {
  let longest = 0
  for (const mark of MARKS)
    for (let length = Math.min(mark.length - 1, text.length); length > longest; length--)
      if (mark.startsWith(text.slice(text.length - length))) longest = length
  return longest
}

/** The calls in a text, those alone that name a tool. */
export function readCalls(text: string, names: ReadonlySet<string>): ToolCall[] {
  return jsonParts(text).flatMap((part) => {
    const parsed = parsedJson(part)
    return (Array.isArray(parsed) ? parsed : [parsed]).flatMap((call) => asCall(call, names) ?? [])
  })
}

function jsonParts(text: string): string[] {
  if (text.includes('<tool_call>'))
    return text
      .split('<tool_call>')
      .slice(1)
      .map((part) => part.split('</tool_call>')[0]!)
  const mark = MARKS.find((each) => text.includes(each))
  const rest = mark === undefined ? text : text.slice(text.indexOf(mark) + mark.length)
  return parsedJson(rest) === undefined ? rest.split(/[;\n]/) : [rest]
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function asCall(value: unknown, names: ReadonlySet<string>): ToolCall | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, arguments: given, parameters } = value as Record<string, unknown>
  if (typeof name !== 'string' || !names.has(name)) return undefined
  const args = given ?? parameters ?? {}
  const text = typeof args === 'string' ? args : JSON.stringify(args)
  return {
    id: `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`,
    type: 'function',
    function: { name, arguments: text },
  }
}
