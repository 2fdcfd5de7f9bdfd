// From the messages of a chat request to the ids that the model reads: its chat template, which may know tools, or else our
// own words about them. What the request wants the answer to be (JSON, a call of a tool) becomes its form.
import type { Message } from '../../data/index.js'
import { badRequest } from '../api-error.js'
import type { ServedModel } from '../catalog.js'
import type { TextForm } from '../host/messages.js'
import { promptIds } from '../prompts.js'
import type { ChatMessage, ChatRequest, ChatTool, ResponseFormat } from '../schemas/chat.js'

/** A conversation ready to be read. */
export interface Conversation {
  prompt: number[]
  form: TextForm | undefined
  /** What the answer may call. */
  tools: readonly ChatTool[]
  /** The answer is a call and nothing else. */
  mustCall: boolean
}

type ChatFields = Pick<
  ChatRequest,
  'messages' | 'tools' | 'tool_choice' | 'response_format' | 'chat_template_kwargs' | 'parallel_tool_calls'
>

/**
 * @throws ApiError 400 for a tool that is not among the tools, a conversation that the template refuses, or one that is too
 * long
 */
export function readConversation(model: ServedModel, body: ChatFields): Conversation {
  const { tool_choice: choice = 'auto' } = body
  const all = choice === 'none' ? [] : (body.tools ?? [])
  const tools = typeof choice === 'string' ? all : all.filter((tool) => tool.function.name === choice.function.name)
  const mustCall = choice === 'required' || typeof choice !== 'string'
  if (mustCall && tools.length === 0) throw badRequest('names no tool of this request', 'tool_choice')
  const form = mustCall ? callForm(tools) : formOf(body.response_format)
  return { prompt: promptOf(model, body, tools, mustCall), form, tools, mustCall }
}

function promptOf(model: ServedModel, body: ChatFields, tools: readonly ChatTool[], mustCall: boolean): number[] {
  const { template } = model
  const knowsTools = /\btools\b/.test(template.source)
  const words = [
    ...(tools.length > 0 && !knowsTools ? [toolWords(tools, mustCall)] : []),
    ...formatWords(body.response_format),
  ]
  const messages = withSystem(body.messages.map(asMessage), words)
  const text = template.render(messages, {
    addGenerationPrompt: true,
    ...(tools.length > 0 && knowsTools && { tools }),
    ...(body.chat_template_kwargs && { variables: body.chat_template_kwargs }),
  })
  // The template writes the special tokens itself.
  return promptIds(model, text, { addSpecialTokens: false, param: 'messages' })
}

/** A message as templates expect it: `system` for developers, and the arguments of calls as objects. */
function asMessage({ role, content, tool_calls, tool_call_id, name }: ChatMessage): Message {
  const calls = tool_calls?.map(({ id, type, function: { name: called, arguments: text } }) => ({
    id,
    type,
    function: { name: called, arguments: asObject(text) },
  }))
  return {
    role: role === 'developer' ? 'system' : role,
    content: content ?? '',
    ...(calls && { tool_calls: calls }),
    ...(tool_call_id !== undefined && { tool_call_id }),
    ...(name !== undefined && { name }),
  }
}

function asObject(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Words of ours stand at the end of the first message of the system, or are one. */
function withSystem(messages: readonly Message[], words: readonly string[]): Message[] {
  if (words.length === 0) return [...messages]
  const [first, ...rest] = messages
  const added = words.join('\n\n')
  if (first?.role === 'system') return [{ ...first, content: `${first.content}\n\n${added}` }, ...rest]
  return [{ role: 'system', content: added }, ...messages]
}

const toolWords = (tools: readonly ChatTool[], mustCall: boolean): string =>
  [
    'You have these functions:',
    ...tools.map((tool) => JSON.stringify(tool.function)),
    mustCall
      ? 'Answer with one call and nothing else: {"name": NAME, "arguments": {...}}'
      : 'To call one, write <tool_call>{"name": NAME, "arguments": {...}}</tool_call>; otherwise answer in plain text.',
  ].join('\n')

/** A model that is held to JSON does better when it knows. */
function formatWords(format: ResponseFormat | undefined): string[] {
  if (format === undefined || format.type === 'text') return []
  const schema = format.type === 'json_schema' ? format.json_schema.schema : undefined
  return [
    schema === undefined ? 'Answer in JSON.' : `Answer in JSON that follows this schema: ${JSON.stringify(schema)}`,
  ]
}

function formOf(format: ResponseFormat | undefined): TextForm | undefined {
  if (format === undefined || format.type === 'text') return undefined
  const schema = format.type === 'json_schema' ? format.json_schema.schema : undefined
  return schema === undefined ? { kind: 'json' } : { kind: 'json-schema', schema }
}

/** One call of one of the tools, as JSON. */
function callForm(tools: readonly ChatTool[]): TextForm {
  const call = ({ function: { name, parameters = { type: 'object' } } }: ChatTool) => ({
    type: 'object',
    properties: { name: { const: name }, arguments: parameters },
    required: ['name', 'arguments'],
    additionalProperties: false,
  })
  const calls = tools.map(call)
  return { kind: 'json-schema', schema: calls.length === 1 ? calls[0]! : { anyOf: calls } }
}
