// A conversation: what the model is given to read, what stays of it, and what happens when it no longer fits.
import { DataError } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ChatTemplate, trainByteLevelBpe, type Tokenizer } from '../../data/index.js'
import { createModel } from '../../models/index.js'
import { Engine, type GenerateRequest } from '../index.js'
import { Chat, turnEnds } from './index.js'

const CONTEXT = 96
let tokenizer: Tokenizer
let engine: Engine
beforeAll(async () => {
  tokenizer = await trainByteLevelBpe(['the cat sat'], { vocabSize: 257 })
  const shape = { hidden_size: 16, intermediate_size: 16, num_attention_heads: 2, num_hidden_layers: 1 }
  const config = { model_type: 'llama', ...shape, vocab_size: 257, max_position_embeddings: CONTEXT }
  engine = new Engine(createModel(config, { seed: 1 }))
})
afterAll(() => engine.close())

/** A chat, and what its model was given to read. */
function begun({ system, template = 'plain' }: { system?: string; template?: string } = {}) {
  const read: string[] = []
  const spied = {
    generate: (request: GenerateRequest) => {
      read.push(tokenizer.decode(Array.from(request.prompt), { skipSpecialTokens: false }))
      return engine.generate(request)
    },
  }
  const voice = { tokenizer, template: ChatTemplate.choose(template, tokenizer) }
  const chat = new Chat({ engine: spied, contextLength: CONTEXT, endTokens: [] }, voice, system)
  const ask = async (user: string, options: Parameters<Chat['ask']>[1] = {}) => {
    const pieces = chat.ask(user, { maxTokens: 4, sampling: { seed: 2 }, ...options })
    let text = ''
    for (;;) {
      const next = await pieces.next()
      if (next.done) return { text, ...next.value }
      text += next.value
    }
  }
  return { chat, ask, read }
}

describe('a conversation', () => {
  test('is read in its template, with its turns and its system prompt', async () => {
    const { chat, ask, read } = begun({ system: 'Be brief.' })
    const { text, reason } = await ask('Who?')
    expect(reason).toBe('length')
    expect(chat.turns).toEqual([{ user: 'Who?', assistant: text.trimEnd() }])
    await ask('Why?')
    const eos = tokenizer.token(tokenizer.endOfText!)
    expect(read[0]).toBe('Be brief.\n\nUser: Who?\nAssistant:')
    expect(read[1]).toBe(`${read[0]!} ${chat.turns[0]!.assistant}${eos}\nUser: Why?\nAssistant:`)
  })

  test('takes turns back, and the same seed then says the same', async () => {
    const { chat, ask } = begun()
    const { text } = await ask('Who?')
    expect(chat.undo()).toEqual({ user: 'Who?', assistant: text.trimEnd() })
    expect(chat.undo()).toBeUndefined()
    expect((await ask('Who?')).text).toBe(text)
  })

  test('keeps the part of an answer that was there when it was stopped', async () => {
    const { chat } = begun()
    const abort = new AbortController()
    const pieces = chat.ask('Who?', { signal: abort.signal, sampling: { seed: 2 } })
    const first = await pieces.next()
    abort.abort()
    const rest = await pieces.next()
    expect(rest.done && rest.value.reason).toBe('stopped')
    expect(chat.turns).toEqual([{ user: 'Who?', assistant: (first.value as string).trimEnd() }])
  })

  test('has no trace of a question that is refused', async () => {
    const { chat, ask } = begun()
    await expect(ask('Who?', { sampling: { temperature: -1 } })).rejects.toThrow(/temperature/)
    await expect(ask('x'.repeat(CONTEXT))).rejects.toThrow(DataError)
    expect(chat.turns).toEqual([])
  })
})

describe('a conversation that outgrows the context', () => {
  const turns = Array.from({ length: 4 }, (_, i) => ({ user: `${i} aaaaaaaa`, assistant: 'bbbb' }))

  test('is refused, or its oldest turns are not read, as is asked; the system prompt stays', async () => {
    const { chat, ask, read } = begun({ system: 'Be brief.' })
    chat.turns = turns
    await expect(ask('Who?')).rejects.toThrow(/the conversation has \d+ tokens, which leaves no room/)
    const { forgotten } = await ask('Who?', { overflow: 'drop-oldest' })
    expect(forgotten).toBeGreaterThan(0)
    expect(read.at(-1)).toMatch(new RegExp(`^Be brief\\.\n\nUser: ${forgotten} aaaaaaaa\n`))
    expect(chat.turns).toHaveLength(5)
  })

  test('ends an answer where the context is full, and says so', async () => {
    const { ask, read } = begun()
    const { tokens, reason } = await ask('Who?', { maxTokens: undefined, sampling: { seed: 2, temperature: 0.5 } })
    expect(reason).toBe('full')
    expect(tokens).toBe(CONTEXT - tokenizer.encode(read[0]!).length)
  })
})

describe('the end of a turn', () => {
  const ends = (template: string) => turnEnds(ChatTemplate.choose(template, tokenizer), tokenizer)

  test('is the special token of the template, and the mark of the next turn', () => {
    expect(ends('plain')).toEqual({ tokens: [tokenizer.endOfText], texts: ['\nUser:'] })
  })

  test('is words where the tokenizer has no such token, and nothing where the template does not say', () => {
    expect(ends('chatml')).toEqual({ tokens: [], texts: ['<|im_end|>'] })
    expect(ends("{{ raise_exception('no') }}")).toEqual({ tokens: [], texts: [] })
  })
})
