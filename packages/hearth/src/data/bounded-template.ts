// Renders Jinja templates of others within bounds of time, memory and size. A template runs in a process of its own with
// a small heap (running out of memory ends a process, threads and all), which a thread of ours feeds and ends, while the
// caller waits for the thread: so rendering is a plain function. Not here: what a chat template is.
import { createRequire } from 'node:module'
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads'
import { DataError } from '@hearth/torch'
import { TASK_DIALECT } from './task-templates.js'

/** Seconds that a template may take; milliseconds are usual. */
const SECONDS = 2
/** Until the process runs, on a machine that is busy. */
const START_SECONDS = 30
const MEMORY_MIB = 128
/** Characters of a template at most. */
export const LARGEST_TEMPLATE = 2 ** 20
const LARGEST_TEXT = 2 ** 24

// Both are CommonJS in a text, so that they start from anywhere. The process: a line of JSON in, a line out.
const PROCESS = `
const jinja = require(process.argv[1])
const { Template } = jinja
${TASK_DIALECT}
const largest = Number(process.argv[2])
const templates = new Map()
const parsed = (source) => {
  if (templates.size > 16) templates.clear()
  if (!templates.has(source)) templates.set(source, new Template(source))
  return templates.get(source)
}
const render = ({ source, values, isTask }) => {
  const { text, value } = isTask ? renderTask(jinja, source, values) : { text: parsed(source).render(values) }
  if (text.length <= largest) return { text, value }
  return { error: 'it made a text of ' + text.length + ' characters, at most ' + largest + ' are taken' }
}
const answer = (line) => {
  try {
    return render(JSON.parse(line))
  } catch (error) {
    return { error: String(error && error.message || error) }
  }
}
process.stdout.write('{}\\n')
require('node:readline').createInterface({ input: process.stdin })
  .on('line', (line) => process.stdout.write(JSON.stringify(answer(line)) + '\\n'))
  .on('close', () => process.exit())
`

// The thread: the flag wakes the caller, who cannot listen while it waits.
const THREAD = `
const { spawn } = require('node:child_process')
const { port, flag, command, options, seconds, startSeconds } = require('node:worker_threads').workerData
let child, timer
const answer = (message) => {
  clearTimeout(timer)
  port.postMessage(message)
  Atomics.store(flag, 0, 1)
  Atomics.notify(flag, 0)
}
const begin = (ready) => {
  const started = spawn(command, options, { env: {}, stdio: ['pipe', 'pipe', 'ignore'] })
  let isReady = false
  const gone = () => {
    if (child !== started) return
    child = undefined
    answer({ error: 'it did not finish within its bounds of time and memory' })
  }
  started.on('error', gone).on('close', gone)
  started.stdin.on('error', () => undefined)
  require('node:readline').createInterface({ input: started.stdout }).on('line', (line) => {
    if (isReady) return answer(JSON.parse(line))
    isReady = true
    clearTimeout(timer)
    ready()
  })
  limit(startSeconds)
  return started
}
const limit = (seconds) => { timer = setTimeout(() => child.kill('SIGKILL'), seconds * 1000) }
port.on('message', (request) => {
  const send = () => {
    limit(seconds)
    child.stdin.write(JSON.stringify(request) + '\\n')
  }
  if (child === undefined) child = begin(send)
  else send()
})
`

interface Renderer {
  port: MessagePort
  flag: Int32Array
}

let running: Renderer | undefined

function start(): Renderer {
  const { port1: port, port2 } = new MessageChannel()
  const flag = new Int32Array(new SharedArrayBuffer(4))
  const library = createRequire(import.meta.url).resolve('@huggingface/jinja')
  const flags = [`--max-old-space-size=${MEMORY_MIB}`, '--disallow-code-generation-from-strings']
  const options = [...flags, '-e', PROCESS, '--', library, String(LARGEST_TEXT)]
  const bounds = { seconds: SECONDS, startSeconds: START_SECONDS }
  const worker = new Worker(THREAD, {
    eval: true,
    execArgv: [],
    workerData: { port: port2, flag, command: process.execPath, options, ...bounds },
    transferList: [port2],
  })
  worker.unref()
  port.unref()
  return { port, flag }
}

/**
 * @param values what the template may refer to: what JSON can hold
 * @throws DataError when the template fails, takes too long or makes too much
 */
export function renderBounded(source: string, values: Record<string, unknown>): string {
  return ask({ source, values }).text
}

/** What a template of a task gives: its text, and the list that it is where it is one expression with a list. */
export interface TaskText {
  text: string
  value?: unknown[]
}

/**
 * As renderBounded(), in the Jinja of lm-evaluation-harness (task-templates.ts).
 * @throws DataError besides for a name that the values do not have
 */
export function renderTaskTemplate(source: string, values: Readonly<Record<string, unknown>>): TaskText {
  return ask({ source, values, isTask: true })
}

function ask(request: { source: string; values: object; isTask?: boolean }): TaskText {
  const { port, flag } = (running ??= start())
  Atomics.store(flag, 0, 0)
  port.postMessage(request)
  Atomics.wait(flag, 0, 0)
  const { message } = receiveMessageOnPort(port) as { message: TaskText | { error: string } }
  if ('error' in message) throw new DataError(message.error)
  return message
}
