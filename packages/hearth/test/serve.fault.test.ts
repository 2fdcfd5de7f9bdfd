// What a server's clients see when the process of a model dies, and when the server is told to end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve, type Server, type ServerEvent } from '../src/serve/index.js'
import { writeTinyModel } from './served-model.js'

let folder: string, server: Server, client: OpenAI
const events: ServerEvent[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-serve-fault-'))
  await writeTinyModel(join(folder, 'one'), { context: 4096 })
  const model = (name: string) => ({ name, path: join(folder, 'one'), threads: 1 })
  server = await serve({ models: [model('one'), model('other')], port: 0, report: (event) => events.push(event) })
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

test('a model killed mid-stream ends its texts with an error, leaves others alone, and is back within 3 s', async () => {
  const [hit, spared] = await Promise.all([stream('one', 3000), stream('other', 60)])
  await hit.next()
  const killed = performance.now()
  process.kill(server.catalog.get('one').host.pid!, 'SIGKILL')
  await expect(rest(hit)).rejects.toThrow(/the process of the model died \(SIGKILL\); it is being started again/)
  // Who comes now waits, and is answered.
  const after = await client.completions.create({ model: 'one', prompt: 'Twas', max_tokens: 4, temperature: 0 })
  expect((performance.now() - killed) / 1000).toBeLessThan(3)
  expect(after.choices[0]!.finish_reason).toBe('length')
  expect(await rest(spared)).toBe(60)
  expect(events.filter(({ kind }) => kind === 'died')).toMatchObject([{ model: 'one', how: 'SIGKILL', requests: 1 }])
})

test('a server that is told to end lets texts end and refuses new ones', async () => {
  const text = await stream('other', 120)
  await text.next()
  const closed = server.close()
  await expect(stream('other', 1)).rejects.toThrow(/503 the server is ending/)
  expect((await fetch(`${server.url}/health`)).status).toBe(503)
  expect(await rest(text)).toBe(120)
  await closed
  await expect(fetch(`${server.url}/health`)).rejects.toThrow()
})

/** Pieces of a text; every one is a token here or part of one. */
async function stream(model: string, max_tokens: number): Promise<AsyncIterator<OpenAI.Completion>> {
  const body = { model, prompt: 'Twas', max_tokens, temperature: 1, seed: 1, stream: true as const, ignore_eos: true }
  return (await client.completions.create({ ...body, stream_options: { include_usage: true } }))[Symbol.asyncIterator]()
}

/** Reads to the end; the tokens that were written in all. */
async function rest(pieces: AsyncIterator<OpenAI.Completion>): Promise<number> {
  let tokens = 0
  for (;;) {
    const next = await pieces.next()
    if (next.done === true) return tokens
    tokens = next.value.usage?.completion_tokens ?? tokens
  }
}
