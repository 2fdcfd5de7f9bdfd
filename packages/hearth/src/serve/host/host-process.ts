// The program that runs a model for a server: it opens it and answers what is asked of it through the pipe, until the server
// is gone. Tokens that are there together go out in one message.
import { ConfigError, DataError } from '@hearth/torch'
import type { Generation } from '../../generate/index.js'
import type { FromHost, GenerationRequest, ToHost } from './messages.js'
import { RunningModel } from './running-model.js'

let model: RunningModel | undefined
const running = new Map<number, AbortController>()

// A server that is gone ends everything here: nobody waits for it.
process.on('disconnect', () => process.exit())
// Ctrl+C reaches all processes of the terminal; when this one ends is the server's to say.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)
process.on('message', (message: ToHost) => {
  if (message.kind === 'open') open(message)
  else if (message.kind === 'abort') running.get(message.id)?.abort()
  else if (message.kind === 'generate') void generate(model!, message.id, message.request)
  else void answer(model!, message)
})

function send(message: FromHost): void {
  if (process.connected) process.send!(message, () => undefined)
}

function open({ spec }: ToHost & { kind: 'open' }): void {
  try {
    model = new RunningModel(spec)
    send({ kind: 'ready', facts: model.facts })
  } catch (error) {
    send({ kind: 'refused', message: wordsOf(error) })
  }
}

async function generate(of: RunningModel, id: number, request: GenerationRequest): Promise<void> {
  const abort = new AbortController()
  running.set(id, abort)
  try {
    const generation = of.generate(request, abort.signal)
    if (request.promptLogprobs !== undefined) send({ kind: 'prompt', id, tokens: await generation.promptScores })
    await forward(id, generation)
    const { reason, promptTokens, cachedTokens, tokens } = await generation.finish
    send({ kind: 'end', id, ending: { reason, promptTokens, cachedTokens, tokens } })
  } catch (error) {
    fail(id, error)
  } finally {
    running.delete(id)
  }
}

async function forward(id: number, generation: Generation): Promise<void> {
  for await (const token of generation) send({ kind: 'tokens', id, tokens: [token] })
}

async function answer(
  of: RunningModel,
  message: Exclude<ToHost, { kind: 'open' | 'abort' | 'generate' }>,
): Promise<void> {
  try {
    send({ kind: 'answer', id: message.id, value: await answerTo(of, message) })
  } catch (error) {
    fail(message.id, error)
  }
}

function answerTo(of: RunningModel, message: Exclude<ToHost, { kind: 'open' | 'abort' | 'generate' }>): unknown {
  switch (message.kind) {
    case 'embed':
      return of.embed(message.tokens)
    case 'adapter':
      of.addAdapter(message.name, message.folder)
      return undefined
    case 'removeAdapter':
      of.removeAdapter(message.name)
      return undefined
    case 'stats':
      return of.stats()
  }
}

function fail(id: number, error: unknown): void {
  const mistake = error instanceof ConfigError || error instanceof DataError
  send({ kind: 'failed', id, message: wordsOf(error), mistake })
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
