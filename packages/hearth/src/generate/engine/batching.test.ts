// Many requests in one pass: what a request gets does not depend on what runs beside it, was read before it, or takes its
// memory; nobody waits for a long prompt; what ends gives back its place at once.
import { describe, expect, test } from 'vitest'
import { createModel, type Family, type LanguageModel } from '../../models/index.js'
import { Engine, type Finish, type GeneratedToken, type GenerateRequest } from './index.js'

const SIZES = {
  vocab_size: 90,
  n_embd: 32,
  n_layer: 2,
  n_head: 4,
  n_positions: 256,
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 3,
  intermediate_size: 48,
  max_position_embeddings: 256,
  sliding_window: 20,
}
const modelOf = (type: string) => createModel({ model_type: type, ...SIZES }, { seed: 3 })
const llama = modelOf('llama')
const text = (length: number, step: number) => Array.from({ length }, (_, i) => (i * i * step + 3 * i + step) % 90)

type Got = Finish & { got: GeneratedToken[] }
async function run(engine: Engine, request: GenerateRequest): Promise<Got> {
  const generation = engine.generate({ stopTokens: [], maxTokens: 10, logprobs: 1, ...request })
  const got: GeneratedToken[] = []
  for await (const token of generation) got.push(token)
  return { ...(await generation.finish), got }
}
async function withEngine<T>(
  model: LanguageModel,
  options: ConstructorParameters<typeof Engine>[1],
  use: (engine: Engine) => Promise<T>,
) {
  const engine = new Engine(model, options)
  try {
    return await use(engine)
  } finally {
    await engine.close()
  }
}
const CHUNK = { prefillChunk: 40 }
const alone = (model: LanguageModel, request: GenerateRequest) =>
  withEngine(model, CHUNK, (engine) => run(engine, request))

const REQUESTS: GenerateRequest[] = [
  { prompt: text(5, 1), sampling: { seed: 1 } },
  { prompt: text(120, 2), sampling: { seed: 2, temperature: 1.5 } },
  { prompt: text(33, 3), sampling: { temperature: 0 }, maxTokens: 30 },
  { prompt: text(32, 4), sampling: { seed: 4, topP: 0.9 } },
  { prompt: text(80, 5), sampling: { temperature: 0 }, promptLogprobs: 0 },
  { prompt: text(1, 6), sampling: { seed: 6, repetitionPenalty: 1.2 }, maxTokens: 40 },
]
/** Libraries' products give rows other bits beside other rows. */
const byLibrary =
  ['reference', 'baseline'].includes(process.env.HEARTH_KERNELS ?? '') || process.env.HEARTH_GEMM === 'library'

describe.skipIf(byLibrary).each(['llama', 'gpt2', 'mistral', 'mixtral'])(
  'with %s the tokens and log probabilities are those of the request alone',
  (type) => {
    const model = modelOf(type)
    const expected = Promise.all(REQUESTS.map((request) => alone(model, request)))

    test('beside others, whose prompts are read in parts', async () => {
      const together = await withEngine(model, CHUNK, (engine) =>
        Promise.all(REQUESTS.map((request) => run(engine, request))),
      )
      expect(together).toEqual(await expected)
    })

    test('in few pages, for which they give way to each other', async () => {
      const options = { ...CHUNK, cacheTokens: 160 }
      const together = await withEngine(model, options, (engine) =>
        Promise.all(REQUESTS.map((request) => run(engine, request))),
      )
      expect(together.map(({ got }) => got)).toEqual((await expected).map(({ got }) => got))
    })

    test('behind one with the same beginning, whose pages it takes', async () => {
      await withEngine(model, CHUNK, async (engine) => {
        await run(engine, { prompt: [...text(100, 2), 7, 7, 7] })
        const second = await run(engine, REQUESTS[1]!)
        expect(second.got).toEqual((await expected)[1]!.got)
        expect(second.cachedTokens).toBe(type === 'mixtral' ? 0 : 80)
        expect(engine.stats().cachedTokens).toBe(second.cachedTokens)
      })
    })
  },
)

test('pages of another model or adapter, or behind another beginning, are not taken', async () => {
  await withEngine(llama, {}, async (engine) => {
    await run(engine, { prompt: text(100, 2) })
    const other = text(100, 2)
    other[3] = (other[3]! + 1) % 90
    expect((await run(engine, { prompt: other })).cachedTokens).toBe(0)
    expect((await run(engine, { prompt: text(100, 2) })).cachedTokens).toBe(64)
    expect((await run(engine, { prompt: text(100, 2), promptLogprobs: 0 })).cachedTokens).toBe(0)
  })
})

test('all running requests get their tokens from one pass', async () => {
  let passes = 0
  const family: Family = { ...llama.family, hidden: (...given) => (passes++, llama.family.hidden(...given)) }
  await withEngine({ ...llama, family }, { maxBatch: 20 }, async (engine) => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => run(engine, { prompt: [i], maxTokens: 10 })))
    expect(passes).toBe(10)
  })
})

test('a long prompt does not keep the others waiting', async () => {
  await withEngine(llama, { prefillChunk: 33 }, async (engine) => {
    let before = 0
    const short = engine.generate({ prompt: [1], maxTokens: 200, stopTokens: [] })
    const long = engine.generate({ prompt: text(240, 1), maxTokens: 2, stopTokens: [] })
    const counted = (async () => {
      for await (const { token } of short) before += token >= 0 ? 1 : 0
    })()
    for await (const { token } of long) if (token >= 0) break
    expect(before).toBeGreaterThanOrEqual(6)
    short.cancel()
    await counted
  })
})

test('a request that is cancelled gives back its pages at once, and another takes its place', async () => {
  await withEngine(llama, { maxBatch: 1 }, async (engine) => {
    const abort = new AbortController()
    const first = engine.generate({ prompt: text(60, 1), signal: abort.signal, stopTokens: [] })
    for await (const { token } of first) if (token >= 0) break
    expect(engine.stats()).toMatchObject({ running: 0, cache: { used: 0, kept: 48 } })
    const second = engine.generate({ prompt: text(60, 2), signal: abort.signal, stopTokens: [] })
    const third = run(engine, { prompt: [5], maxTokens: 3 })
    await second[Symbol.asyncIterator]().next()
    expect(engine.stats()).toMatchObject({ running: 1, waiting: 1 })
    abort.abort()
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 1, cache: { used: 0 } })
    expect((await third).got).toHaveLength(3)
  })
})
