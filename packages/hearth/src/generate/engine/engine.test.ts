// The engine's promises: each family's recorded tokens, whatever runs beside them; endings, cancellation, errors, memory.
import { ConfigError, DataError, HearthError, memoryStats, noGrad } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedModel } from '../../../test/recorded-models.js'
import { recordedJson } from '../../../test/recorded.js'
import { createAdapter } from '../../adapt/index.js'
import { familyOf, type LanguageModel } from '../../models/index.js'
import { scoreTokens } from '../index.js'
import { Engine, type Finish, type GeneratedToken, type GenerateRequest } from './index.js'

const names = ['gpt2', 'gpt3', 'gpt_neo', 'gpt_neox', 'gpt_neox_sequential', 'gptj', 'llama', 'llama_gqa', 'mistral']
const more = ['mixtral', 'qwen2', 'qwen3', 'stablelm', 'stablelm_alpha', 'stablelm_epoch']
const opened = new Map<string, LanguageModel>()
function open(name: string): LanguageModel {
  const model = opened.get(name) ?? recordedModel(familyOf(recordedJson(`models/${name}/config.json`)), name)
  opened.set(name, model)
  return model
}
const recorded = (name: string) =>
  recordedJson<{ generation: { prompt: number[]; tokens: number[] } }>(`models/${name}.json`).generation

async function run(
  engine: Engine,
  request: GenerateRequest,
): Promise<Finish & { got: GeneratedToken[]; ids: number[] }> {
  const generation = engine.generate({ stopTokens: [], ...request })
  const got: GeneratedToken[] = []
  for await (const token of generation) got.push(token)
  return { ...(await generation.finish), got, ids: got.map(({ token }) => token) }
}
const greedy = { temperature: 0 }

test.each([...names, ...more])('%s continues its prompt as PyTorch recorded it, also beside others', async (name) => {
  const { prompt, tokens } = recorded(name)
  const engine = new Engine(open(name), { prefillChunk: 8 })
  const requests = [prompt, prompt.slice(0, 5), prompt].map((ids) =>
    run(engine, { prompt: ids, maxTokens: tokens.length, sampling: greedy }),
  )
  const [first, , third] = await Promise.all(requests)
  expect(first!.ids).toEqual(tokens)
  expect(third!.ids).toEqual(tokens)
  expect(first!.reason).toBe('length')
  await engine.close()
})

describe('a request', () => {
  const model = open('llama')
  const { prompt, tokens } = recorded('llama')
  const context = model.family.shape(model.config).contextLength

  test('draws the same tokens from its seed, whatever runs beside it', async () => {
    const engine = new Engine(model)
    const request = { prompt, maxTokens: 12, sampling: { temperature: 1.3, seed: 4 } }
    const alone = await run(engine, request)
    const others = [1, 2, 3].map((seed) => run(engine, { prompt: [seed], maxTokens: 9, sampling: { seed } }))
    expect((await run(engine, request)).ids).toEqual(alone.ids)
    await Promise.all(others)
    await engine.close()
  })

  test('ends with its stop token, which is not given out', async () => {
    const engine = new Engine(model)
    const ending = await run(engine, { prompt, sampling: greedy, stopTokens: [tokens[3]!] })
    expect(ending.ids).toEqual(tokens.slice(0, 3))
    expect(ending).toMatchObject({ reason: 'stop', stopToken: tokens[3], tokens: 3, promptTokens: prompt.length })
    await engine.close()
  })

  test('ends when its signal says so or its reader leaves, and the others go on', async () => {
    const engine = new Engine(model)
    const abort = new AbortController()
    const cut = run(engine, { prompt, maxTokens: 40, sampling: greedy, signal: abort.signal })
    const left = engine.generate({ prompt, maxTokens: 40, stopTokens: [] })
    const whole = run(engine, { prompt, maxTokens: tokens.length, sampling: greedy })
    for await (const { token } of left) if (token >= 0) break
    abort.abort()
    expect((await cut).reason).toBe('cancelled')
    expect((await left.finish).reason).toBe('cancelled')
    expect((await whole).ids).toEqual(tokens)
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, finished: 3 })
    await engine.close()
  })

  test('scores its prompt and its tokens as scoreTokens does', async () => {
    const engine = new Engine(model, { prefillChunk: 5 })
    const generation = engine.generate({ prompt, maxTokens: 3, sampling: greedy, promptLogprobs: 2, logprobs: 2 })
    const text: number[] = [...prompt]
    const scores = [...(await generation.promptScores)]
    for await (const token of generation) {
      text.push(token.token)
      scores.push(token)
      expect(token.top![0]!.token).toBe(token.token)
      expect(token.top).toHaveLength(2)
    }
    const { perToken } = await scoreTokens(model, text)
    expect(scores.map(({ token }) => token)).toEqual(text)
    expect(scores[0]!.logprob).toBeUndefined()
    for (const [i, nats] of perToken.entries()) expect(scores[i + 1]!.logprob).toBeCloseTo(-nats, 4)
    await engine.close()
  })

  test('that does not fit is refused, or ends, or loses its beginning: as its policy says', async () => {
    const engine = new Engine(model)
    const long = Array.from({ length: context - 4 }, (_, i) => i % 50)
    const request = { prompt: long, maxTokens: 10, sampling: greedy }
    expect(() => engine.generate(request)).toThrow(DataError)
    expect(await run(engine, { ...request, overflow: 'end' })).toMatchObject({ reason: 'overflow', tokens: 4 })
    const cut = await run(engine, { ...request, overflow: 'drop-oldest' })
    expect(cut).toMatchObject({ reason: 'length', tokens: 10, droppedTokens: 6, promptTokens: context - 10 })
    expect((await run(engine, { ...request, prompt: long.slice(6) })).ids).toEqual(cut.ids)
    await engine.close()
  })

  test('with mistakes is refused before anything is computed', async () => {
    const engine = new Engine(model)
    expect(() => engine.generate({ prompt: [] })).toThrow(DataError)
    expect(() => engine.generate({ prompt, sampling: { topP: 7, temperature: -1 } })).toThrow(ConfigError)
    expect(() => engine.generate({ prompt, logprobs: -1 })).toThrow(ConfigError)
    expect(() => engine.generate({ prompt, adapter: 'none' })).toThrow(/no adapter "none"/)
    await engine.close()
    expect(() => engine.generate({ prompt })).toThrow(HearthError)
  })

  test('of no tokens reads its prompt and ends', async () => {
    const engine = new Engine(model)
    expect(await run(engine, { prompt, maxTokens: 0 })).toMatchObject({ reason: 'length', tokens: 0 })
    await engine.close()
  })
})

test('an adapter has its own name, and beside it the model stays as it is', async () => {
  const model = open('llama')
  const { prompt, tokens } = recorded('llama')
  const engine = new Engine(model)
  const adapter = createAdapter(model, { rank: 2 }, { seed: 1 })
  for (const { b } of Object.values(adapter.weights)) noGrad(() => b.fill_(0.5))
  engine.setAdapter('other', adapter)
  const request = { prompt, maxTokens: tokens.length, sampling: greedy }
  const [plain, adapted] = await Promise.all([run(engine, request), run(engine, { ...request, adapter: 'other' })])
  expect(plain.ids).toEqual(tokens)
  expect(adapted.ids).not.toEqual(tokens)
  await engine.close()
})

test('a text becomes a vector of length 1, near that of a text like it', async () => {
  const engine = new Engine(open('llama'))
  const [a, b, c] = await Promise.all(
    [
      [1, 2, 3, 4],
      [1, 2, 3, 5],
      [40, 30, 20, 10],
    ].map((ids) => engine.embed(ids)),
  )
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0)
  expect(dot(a!, a!)).toBeCloseTo(1, 5)
  expect(dot(a!, b!)).toBeGreaterThan(dot(a!, c!))
  await engine.close()
})

test('a closed engine leaves no tensors behind', async () => {
  const model = open('llama')
  const use = async () => {
    const engine = new Engine(model)
    await Promise.all([1, 2, 3].map((id) => run(engine, { prompt: [id, 2, 3], maxTokens: 5 })))
    void engine.generate({ prompt: [1, 2, 3] })
    await engine.close()
  }
  await use()
  const before = memoryStats().liveTensors
  await use()
  expect(memoryStats().liveTensors).toBeLessThanOrEqual(before)
})
