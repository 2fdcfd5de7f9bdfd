// The server as its clients see it: OpenAI's own client, a plain fetch, and those that may not speak to it.
import { mkdtempSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '@hearth/torch'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tokenizer } from '../src/data/index.js'
import { Engine, completeText, scoreTokens } from '../src/generate/index.js'
import type { LanguageModel } from '../src/models/index.js'
import { serve, type Server } from '../src/serve/index.js'
import { writeAdapter, writeTinyModel } from './served-model.js'

const KEY = 'sk-test-0123456789abcdef'
let folder: string, server: Server, client: OpenAI, model: LanguageModel, tokenizer: Tokenizer

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-serve-'))
  ;({ model, tokenizer } = await writeTinyModel(join(folder, 'tiny')))
  await writeAdapter(join(folder, 'adapter'), model)
  server = await serve({
    models: [{ name: 'tiny', path: join(folder, 'tiny'), threads: 1 }],
    adapters: [{ name: 'bent', folder: join(folder, 'adapter') }],
    port: 0,
    keys: [KEY],
    allowedOrigins: ['https://friend.example'],
    maxRequests: 12,
  })
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: KEY, maxRetries: 0 })
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

const ask = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

const own = async (prompt: string, maxTokens: number): Promise<string> =>
  (await completeText(model, tokenizer, prompt, { maxTokens, temperature: 0 })).text

describe('completions', () => {
  test('are the library’s own tokens, whole and in pieces', async () => {
    const body = { model: 'tiny', prompt: 'Twas brillig', max_tokens: 24, temperature: 0 } as const
    const expected = await own('Twas brillig', 24)
    const whole = await client.completions.create(body)
    expect(whole.choices[0]).toMatchObject({ text: expected, finish_reason: 'length', index: 0 })
    expect(whole.usage).toMatchObject({ completion_tokens: 24, prompt_tokens: tokenizer.encode('Twas brillig').length })
    let streamed = ''
    for await (const { choices } of await client.completions.create({ ...body, stream: true }))
      streamed += choices[0]?.text ?? ''
    expect(streamed).toBe(expected)
  })

  test('of several prompts and choices come in their order, and a seed repeats them', async () => {
    const body = { model: 'tiny', prompt: ['one', 'two', 'three'], n: 2, max_tokens: 6, seed: 5 }
    const first = await client.completions.create(body)
    const second = await client.completions.create(body)
    expect(first.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5])
    expect(second.choices).toEqual(first.choices)
    expect(new Set(first.choices.map(({ text }) => text)).size).toBe(6)
  })

  test('end before a stop string, which is never shown', async () => {
    const text = await own('Twas brillig', 24)
    const stop = text.slice(10, 13)
    const { choices } = await client.completions.create({
      model: 'tiny',
      prompt: 'Twas brillig',
      max_tokens: 24,
      temperature: 0,
      stop: [stop],
    })
    expect(choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' })
  })

  test('with echo and logprobs score ids as lm-evaluation-harness asks for it', async () => {
    const rows = ['Twas brillig, and the slithy toves', 'Did gyre'].map((text) => [...tokenizer.encode(text)])
    const response = await ask('/v1/completions', {
      model: 'tiny',
      prompt: rows,
      temperature: 0,
      max_tokens: 1,
      logprobs: 1,
      seed: 1234,
      echo: true,
    })
    const { choices } = (await response.json()) as OpenAI.Completion
    for (const [i, ids] of rows.entries()) {
      const { token_logprobs: scores, top_logprobs: top, tokens } = choices[i]!.logprobs!
      expect([scores!.length, top!.length, tokens!.length]).toEqual([ids.length + 1, ids.length + 1, ids.length + 1])
      expect([scores![0], top![0]]).toEqual([null, null])
      const { nats } = await scoreTokens(model, ids)
      const sum = scores!.slice(1, -1).reduce((total, value) => total + value, 0)
      expect(Math.abs(sum + nats)).toBeLessThan(1e-3)
      // Of the token that was chosen greedily, the likeliest is the token itself, to the last bit.
      expect(Math.max(...Object.values(top!.at(-1)!))).toBe(scores!.at(-1))
    }
  })

  test('may only be scored, without a token more', async () => {
    const { choices } = await client.completions.create({
      model: 'tiny',
      prompt: 'Twas',
      max_tokens: 0,
      echo: true,
      logprobs: 2,
    })
    expect(choices[0]!.text).toBe('Twas')
    expect(choices[0]!.logprobs!.tokens!.join('')).toBe('Twas')
    expect(Object.keys(choices[0]!.logprobs!.top_logprobs![1]!)).toHaveLength(2)
  })
})

describe('chat', () => {
  const messages = [{ role: 'user' as const, content: 'Who are you?' }]

  test('renders the template, streams with usage, and gives logprobs that fit', async () => {
    const body = { model: 'tiny', messages, max_completion_tokens: 12, temperature: 0 }
    const whole = await client.chat.completions.create({ ...body, logprobs: true, top_logprobs: 2 })
    const { message, logprobs } = whole.choices[0]!
    expect(message.content).toBe(await own('User: Who are you?\nAssistant:', 12))
    expect(logprobs!.content!.map(({ token }) => token).join('')).toBe(message.content)
    expect(logprobs!.content![0]!.top_logprobs).toHaveLength(2)
    let text = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    const stream = await client.chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    })
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage
    }
    expect(text).toBe(message.content)
    expect(usage).toEqual({ ...whole.usage, prompt_tokens_details: expect.anything() as object })
  })

  test('streams to a plain fetch as server-sent events that end with [DONE]', async () => {
    const response = await ask('/v1/chat/completions', { model: 'tiny', messages, max_tokens: 3, stream: true })
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const lines = (await response.text()).split('\n\n').filter((line) => line !== '')
    expect(lines.every((line) => line.startsWith('data: '))).toBe(true)
    expect(lines.at(-1)).toBe('data: [DONE]')
    const first = JSON.parse(lines[0]!.slice(6)) as OpenAI.ChatCompletionChunk
    expect(first.choices[0]!.delta.role).toBe('assistant')
  })

  test('refuses pictures, unknown tools and conversations that are too long, and names the field', async () => {
    const picture = { role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }
    const cases: [unknown, string][] = [
      [{ messages: [picture] }, 'messages[0].content'],
      [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
      [{ messages, tool_choice: 'required' }, 'tool_choice'],
      [{ messages: [{ role: 'user', content: 'x'.repeat(2000) }] }, 'messages'],
      [{ messages, temperature: 11 }, 'temperature'],
      [{ messages, max_tokens: 100_000 }, 'messages'],
    ]
    for (const [body, param] of cases) {
      const response = await ask('/v1/chat/completions', { model: 'tiny', ...(body as object) })
      expect(response.status).toBe(400)
      expect(((await response.json()) as { error: { param: string } }).error.param).toBe(param)
    }
  })
})

test('responses are written whole and as events', async () => {
  const body = { model: 'tiny', input: 'Who?', instructions: 'Be brief.', max_output_tokens: 8, temperature: 0 }
  const whole = await client.responses.create(body)
  expect(whole.output_text).toBe(await own('Be brief.\n\nUser: Who?\nAssistant:', 8))
  expect(whole.status).toBe('incomplete')
  let text = ''
  const kinds: string[] = []
  for await (const event of await client.responses.create({ ...body, stream: true })) {
    kinds.push(event.type)
    if (event.type === 'response.output_text.delta') text += event.delta
  }
  expect(text).toBe(whole.output_text)
  expect([kinds[0], kinds.at(-1)]).toEqual(['response.created', 'response.incomplete'])
})

test('an adapter is served under its own name, and can be taken away', async () => {
  const listed = await client.models.list()
  expect(listed.data.map(({ id }) => id)).toEqual(['tiny', 'bent'])
  const text = async (name: string) =>
    (await client.completions.create({ model: name, prompt: 'Twas', max_tokens: 12, temperature: 0 })).choices[0]!.text
  expect(await text('tiny')).toBe(await own('Twas', 12))
  expect(await text('bent')).not.toBe(await text('tiny'))
  await client.models.delete('bent')
  await expect(text('bent')).rejects.toThrow(/does not exist here/)
  await expect(client.models.delete('tiny')).rejects.toThrow(/stays/)
})

test('embeddings have length one, in numbers or base64, and may be shortened', async () => {
  const { data } = await client.embeddings.create({ model: 'tiny', input: ['one', 'two'] })
  const engine = new Engine(model)
  const expected = await engine.embed(tokenizer.encode('one'))
  await engine.close()
  data[0]!.embedding.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6))
  const short = await client.embeddings.create({ model: 'tiny', input: 'one', dimensions: 4, encoding_format: 'float' })
  expect(short.data[0]!.embedding).toHaveLength(4)
  expect(Math.hypot(...short.data[0]!.embedding)).toBeCloseTo(1, 5)
})

test('texts are tokenised, and metrics and health are told', async () => {
  const { tokens } = (await (await ask('/tokenize', { model: 'tiny', text: 'Twas' })).json()) as { tokens: number[] }
  expect(tokens).toEqual([...tokenizer.encode('Twas')])
  expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok' })
  const metrics = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${KEY}` } })
  const text = await metrics.text()
  expect(text).toMatch(/hearth_generated_tokens_total\{model="tiny"\} [1-9]/)
  expect(text).toMatch(/hearth_model_finished\{model="tiny"\} [1-9]/)
})

describe('what may not be', () => {
  const status = async (headers: Record<string, string>, path = '/v1/models') =>
    (await fetch(`${server.url}${path}`, { headers })).status

  /** fetch() sets Host itself. */
  const withHost = (host: string) =>
    new Promise<number>((resolve, reject) => {
      const { port } = new URL(server.url)
      const options = { port, path: '/health', headers: { host } }
      httpRequest(options, (response) => {
        response.resume()
        resolve(response.statusCode!)
      })
        .on('error', reject)
        .end()
    })

  test('is a wrong key, a foreign page, and a name that is not this server’s', async () => {
    expect(await status({})).toBe(401)
    expect(await status({ authorization: 'Bearer sk-test-0123456789abcdeX' })).toBe(401)
    const authorization = `Bearer ${KEY}`
    expect(await status({ authorization, origin: 'https://evil.example' })).toBe(403)
    expect(await status({ authorization, 'sec-fetch-site': 'cross-site' })).toBe(403)
    expect(await status({ authorization, origin: 'https://friend.example' })).toBe(200)
    expect([await withHost('evil.example'), await withHost('localhost:1'), await withHost('127.0.0.1')]).toEqual([
      403, 200, 200,
    ])
  })

  test('is another address without a key, said before anything is opened', async () => {
    await expect(serve({ models: [], host: '0.0.0.0' })).rejects.toThrow(ConfigError)
    await expect(serve({ models: [], host: '0.0.0.0', keys: ['short'] })).rejects.toThrow(/at least 16 characters/)
  })

  test('is a body that is no JSON, of another kind, or too large; and more texts than the limit', async () => {
    expect((await ask('/v1/completions', '{"model": ')).status).toBe(400)
    expect((await ask('/v1/completions', 'x', { 'content-type': 'text/plain' })).status).toBe(415)
    expect((await ask('/v1/completions', JSON.stringify({ prompt: 'x'.repeat(5 * 2 ** 20) }))).status).toBe(413)
    expect((await ask('/v1/completions', { model: 'tiny', prompt: 'x', n: 13 })).status).toBe(400)
    expect((await ask('/nothing', {})).status).toBe(404)
    const many = Array.from({ length: 14 }, () =>
      ask('/v1/completions', { model: 'tiny', prompt: 'x', max_tokens: 40 }),
    )
    const statuses = (await Promise.all(many)).map((response) => response.status)
    expect(statuses.filter((each) => each === 200)).toHaveLength(12)
    expect(statuses.filter((each) => each === 429)).toHaveLength(2)
  })
})

test('a client that goes away frees its place at once', async () => {
  const controller = new AbortController()
  const body = JSON.stringify({
    model: 'tiny',
    prompt: Array.from({ length: 12 }, () => 'x'),
    max_tokens: 250,
    stream: true,
  })
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${KEY}` }
  const options = { method: 'POST', headers, body, signal: controller.signal }
  const response = await fetch(`${server.url}/v1/completions`, options)
  await response.body!.getReader().read()
  expect((await ask('/v1/completions', { model: 'tiny', prompt: 'x', max_tokens: 1 })).status).toBe(429)
  controller.abort()
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect((await ask('/v1/completions', { model: 'tiny', prompt: 'x', max_tokens: 1 })).status).toBe(200)
  const stats = await server.catalog.get('tiny').host.stats()
  expect([stats.running, stats.waiting]).toEqual([0, 0])
})
