// The shapes that rows of fine-tuning data have, and what each means here: one of five kinds. Which shape a file has is
// seen from the fields of its rows. Not here: reading files (read-rows.ts), tokens (tokenise.ts).
import type { Message } from '../chat-template.js'

/** A conversation, or a text as it stands. */
export type Turns = string | readonly Message[]

/** A row by what it is for. */
export type Row =
  /** All of it is trained on. */
  | { kind: 'text'; text: string }
  /** The completion is trained on, after the prompt. */
  | { kind: 'completion'; prompt: string; completion: string }
  | { kind: 'chat'; messages: readonly Message[] }
  /** Two ways to go on, of which the first is better: DPO, ORPO. */
  | { kind: 'preference'; prompt: Turns; chosen: Turns; rejected: Turns }
  /** A way to go on, and whether it is wanted: KTO. */
  | { kind: 'labelled'; prompt: Turns; completion: Turns; label: boolean }

export type ShapeName = 'text' | 'completion' | 'alpaca' | 'messages' | 'sharegpt' | 'preference' | 'labelled'

/** Tells what is wrong with a field of a row. */
export type Complain = (field: string, problem: string) => void

type Fields = Readonly<Record<string, unknown>>

export interface Shape {
  /** What it is called where people read of it. */
  name: ShapeName
  /** Fields without which a row has another shape. */
  needs: readonly string[]
  /** undefined after a complaint. */
  read(row: Fields, complain: Complain): Row | undefined
}

/** A value as it stands in the row. */
const shownValue = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

const shownType = (value: unknown): string =>
  value === undefined || value === null ? 'nothing' : Array.isArray(value) ? 'a list' : `a ${typeof value}`

function text(row: Fields, field: string, complain: Complain): string | undefined {
  const value = row[field]
  if (typeof value === 'string') return value
  complain(field, `got ${shownType(value)}, expected a text`)
  return undefined
}

const optionalText = (row: Fields, field: string, complain: Complain): string | undefined =>
  row[field] === undefined || row[field] === null ? '' : text(row, field, complain)

const ROLES: Readonly<Record<string, string>> = {
  system: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  chatgpt: 'assistant',
  model: 'assistant',
  tool: 'tool',
  function: 'tool',
  observation: 'tool',
}

/** Tables keep lists as JSON. */
function listOf(value: unknown): unknown {
  if (typeof value !== 'string' || !value.trimStart().startsWith('[')) return value
  try {
    return JSON.parse(value) as unknown
  } catch {
    return value
  }
}

function messagesOf(row: Fields, field: string, complain: Complain): Message[] | undefined {
  const list = listOf(row[field])
  if (!Array.isArray(list) || list.length === 0) {
    complain(field, `got ${Array.isArray(list) ? 'an empty list' : shownType(list)}, expected a list of messages`)
    return undefined
  }
  const messages = list.map((item: unknown, i) => messageOf(item, `${field}.${i}`, complain))
  return messages.every((message) => message !== undefined) ? messages : undefined
}

function messageOf(item: unknown, at: string, complain: Complain): Message | undefined {
  const fields = (typeof item === 'object' && item !== null ? item : {}) as Fields
  const [roleField, contentField] = 'from' in fields ? ['from', 'value'] : ['role', 'content']
  const [given, content] = [fields[roleField], fields[contentField]]
  const role = typeof given === 'string' ? ROLES[given.toLowerCase()] : undefined
  if (role === undefined)
    complain(`${at}.${roleField}`, `got ${shownValue(given)}, expected system, user, assistant or tool`)
  if (typeof content !== 'string') complain(`${at}.${contentField}`, `got ${shownType(content)}, expected a text`)
  return role !== undefined && typeof content === 'string' ? { role, content } : undefined
}

function turnsOf(row: Fields, field: string, complain: Complain): Turns | undefined {
  const value = listOf(row[field])
  return typeof value === 'string' ? value : messagesOf({ [field]: value }, field, complain)
}

/** What both ways begin with, where there is no prompt: all messages but the last. */
function promptOf(row: Fields, chosen: Turns | undefined, complain: Complain): Turns | undefined {
  if (row.prompt !== undefined && row.prompt !== null) return turnsOf(row, 'prompt', complain)
  return typeof chosen === 'object' ? chosen.slice(0, -1) : ''
}

/** The answer alone: datasets repeat the prompt in both. */
const answerOf = (turns: Turns, prompt: Turns): Turns =>
  typeof turns === 'object' && typeof prompt === 'object' && turns.length > prompt.length && prompt.length > 0
    ? turns.slice(prompt.length)
    : turns

function preference(row: Fields, complain: Complain): Row | undefined {
  const chosen = turnsOf(row, 'chosen', complain)
  const rejected = turnsOf(row, 'rejected', complain)
  const prompt = promptOf(row, chosen, complain)
  if (chosen === undefined || rejected === undefined || prompt === undefined) return undefined
  if (typeof chosen !== typeof rejected) {
    complain('rejected', `is ${shownType(rejected)}, but chosen is ${shownType(chosen)}; expected both alike`)
    return undefined
  }
  return { kind: 'preference', prompt, chosen: answerOf(chosen, prompt), rejected: answerOf(rejected, prompt) }
}

const LABELS: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false }

function labelled(row: Fields, complain: Complain): Row | undefined {
  const prompt = turnsOf(row, 'prompt', complain)
  const completion = turnsOf(row, 'completion', complain)
  const label = LABELS[String(row.label).toLowerCase()]
  if (label === undefined) complain('label', `got ${shownValue(row.label)}, expected true or false`)
  if (prompt === undefined || completion === undefined || label === undefined) return undefined
  return { kind: 'labelled', prompt, completion, label }
}

function alpaca(row: Fields, complain: Complain): Row | undefined {
  const [instruction, output] = [text(row, 'instruction', complain), text(row, 'output', complain)]
  const [input, system] = [optionalText(row, 'input', complain), optionalText(row, 'system', complain)]
  if (instruction === undefined || output === undefined || input === undefined || system === undefined) return undefined
  return {
    kind: 'chat',
    messages: [
      ...(system === '' ? [] : [{ role: 'system', content: system }]),
      { role: 'user', content: input === '' ? instruction : `${instruction}\n\n${input}` },
      { role: 'assistant', content: output },
    ],
  }
}

function conversation(field: string) {
  return (row: Fields, complain: Complain): Row | undefined => {
    const messages = messagesOf(row, field, complain)
    const system = optionalText(row, 'system', complain)
    if (messages === undefined || system === undefined) return undefined
    if (!messages.some(({ role }) => role === 'assistant'))
      complain(field, 'has no message of the assistant to learn from')
    return { kind: 'chat', messages: system === '' ? messages : [{ role: 'system', content: system }, ...messages] }
  }
}

/** Every shape, the one with more fields first: the first whose fields are all there is that of a row. */
export const SHAPES: readonly Shape[] = [
  { name: 'preference', needs: ['chosen', 'rejected'], read: preference },
  { name: 'labelled', needs: ['prompt', 'completion', 'label'], read: labelled },
  { name: 'messages', needs: ['messages'], read: conversation('messages') },
  { name: 'sharegpt', needs: ['conversations'], read: conversation('conversations') },
  { name: 'alpaca', needs: ['instruction', 'output'], read: alpaca },
  {
    name: 'completion',
    needs: ['prompt', 'completion'],
    read: (row, complain) => {
      const [prompt, completion] = [text(row, 'prompt', complain), text(row, 'completion', complain)]
      return prompt === undefined || completion === undefined ? undefined : { kind: 'completion', prompt, completion }
    },
  },
  {
    name: 'text',
    needs: ['text'],
    read: (row, complain) => {
      const whole = text(row, 'text', complain)
      return whole === undefined ? undefined : { kind: 'text', text: whole }
    },
  },
]

/** The shape of a row, by its fields. */
export const shapeOf = (row: Fields): Shape | undefined =>
  SHAPES.find(({ needs }) => needs.every((field) => row[field] !== undefined && row[field] !== null))
