// Generation from the recorded models, and its promises about seeds, limits, signals and memory.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ConfigError, DataError, memoryStats, noGrad, scope, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedModel } from '../../test/recorded-models.js'
import { recordedJson } from '../../test/recorded.js'
import { familyOf, logits, type LanguageModel } from '../models/index.js'
import { generate, greedy, lastLogits, type Ending, type GenerateOptions } from './index.js'

const names = ['gpt2', 'llama', 'llama_gqa', 'gpt_neox', 'gpt_neox_sequential'] as const
// Each model once, so that the garbage collector frees none while a test counts tensors.
const opened = new Map<string, LanguageModel>()
function open(name: string): LanguageModel {
  const model = opened.get(name) ?? recordedModel(familyOf(recordedJson(`models/${name}/config.json`)), name)
  opened.set(name, model)
  return model
}

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
/** Tensors without a scope are freed by finalizers, which run some turns after a collection. */
async function collectGarbage(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    gc()
    await new Promise(setImmediate)
  }
}

const live = () => ({ tensors: memoryStats().liveTensors, bytes: memoryStats().liveBytes })

interface Generation {
  prompt: number[]
  tokens: number[]
}
const generationOf = (name: string) => recordedJson<{ generation: Generation }>(`models/${name}.json`).generation

async function collect(
  model: LanguageModel,
  prompt: number[],
  options: GenerateOptions,
): Promise<{ ids: number[]; ending: Ending }> {
  const tokens = generate(model, prompt, { eosId: [], ...options })
  const ids: number[] = []
  for (;;) {
    const next = await tokens.next()
    if (next.done) return { ids, ending: next.value }
    ids.push(next.value)
  }
}

describe.each(names)('%s', (name) => {
  const { prompt, tokens } = generationOf(name)

  test('continues its prompt greedily as PyTorch recorded it', async () => {
    const { ids, ending } = await collect(open(name), prompt, { temperature: 0, maxTokens: tokens.length })
    expect(ids).toEqual(tokens)
    expect(ending).toEqual({ reason: 'length', promptTokens: prompt.length, tokens: tokens.length })
  })

  test('with the cache gives what reading the whole text for each token gives', async () => {
    const model = open(name)
    const text = [...prompt]
    const next = () => logits(model, tensor([text], { dtype: 'int64' }), { lastOnly: true }).toArray()
    noGrad(() => {
      for (let i = 0; i < 20; i++) text.push(greedy(Float32Array.from(scope(next))))
    })
    const { ids } = await collect(model, prompt, { temperature: 0, maxTokens: 20 })
    expect(ids).toEqual(text.slice(prompt.length))
  })
})

test('a prompt longer than what is read at once gives the token that reading it whole gives', async () => {
  const json = { ...recordedJson<object>('models/llama/config.json'), max_position_embeddings: 2048 }
  const base = open('llama')
  const model = { ...base, config: base.family.parseConfig(json) }
  const prompt = Array.from({ length: 1100 }, (_, i) => (i * i + 5 * i) % 60)
  const { ids } = await collect(model, prompt, { temperature: 0, maxTokens: 2 })
  expect(ids[0]).toBe(greedy(lastLogits(model, prompt)))
  expect(ids[1]).toBe(greedy(lastLogits(model, [...prompt, ids[0]!])))
})

describe('randomness', () => {
  const model = open('llama')
  const prompt = [3, 1, 4]
  const settings = { maxTokens: 24, temperature: 1.3 }

  test('is the same for the same seed and another for another', async () => {
    const run = async (seed: number) => (await collect(model, prompt, { ...settings, seed })).ids
    expect(await run(5)).toEqual(await run(5))
    expect(await run(5)).not.toEqual(await run(6))
  })

  test('is new each time without a seed', async () => {
    const run = async () => (await collect(model, prompt, settings)).ids
    expect(await run()).not.toEqual(await run())
  })

  test('belongs to the position, so a text that is cut and gone on with is the same text', async () => {
    const whole = (await collect(model, prompt, { ...settings, seed: 9 })).ids
    const start = whole.slice(0, 10)
    const rest = (await collect(model, [...prompt, ...start], { ...settings, seed: 9, maxTokens: 14 })).ids
    expect([...start, ...rest]).toEqual(whole)
  })
})

describe('the end', () => {
  const { prompt, tokens } = generationOf('gpt2')
  const model = open('gpt2')
  const context = model.family.shape(model.config).contextLength

  test('is an end-of-text token, which is not given out', async () => {
    const expected = { reason: 'end', promptTokens: prompt.length, tokens: 4 }
    for (const eosId of [tokens[4]!, [1000, tokens[4]!]]) {
      const { ids, ending } = await collect(model, prompt, { temperature: 0, eosId })
      expect(ids).toEqual(tokens.slice(0, 4))
      expect(ending).toEqual(expected)
    }
  })

  test('is the end-of-text token of the configuration when none is given', async () => {
    const json = { ...recordedJson<object>('models/gpt2/config.json'), eos_token_id: tokens[2]! }
    const config = model.family.parseConfig(json)
    const { ids } = await collect({ ...model, config }, prompt, { temperature: 0, eosId: undefined })
    expect(ids).toEqual(tokens.slice(0, 2))
  })

  test('is the end of the context', async () => {
    const { ids, ending } = await collect(model, prompt, { temperature: 0, maxTokens: 10_000 })
    expect(ids).toHaveLength(context - prompt.length)
    expect(ending.reason).toBe('length')
  })

  test('is the signal, after the token at hand, and before the prompt when it was there first', async () => {
    const abort = new AbortController()
    const ids: number[] = []
    for await (const id of generate(model, prompt, { temperature: 0, eosId: [], signal: abort.signal })) {
      ids.push(id)
      if (ids.length === 3) abort.abort()
    }
    expect(ids).toEqual(tokens.slice(0, 3))
    const { ending } = await collect(model, prompt, { signal: abort.signal })
    expect(ending).toEqual({ reason: 'aborted', promptTokens: prompt.length, tokens: 0 })
  })

  test('lets timers run between tokens', async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 0)
    await collect(model, prompt, { temperature: 0, maxTokens: 20 })
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(0)
  })
})

describe('mistakes are found before anything is computed', () => {
  const model = open('gpt2')

  test('all wrong settings at once', () => {
    const wrong = {
      temperature: -1,
      topK: 1.5,
      topP: 0,
      minP: 2,
      repetitionPenalty: 0,
      maxTokens: 0,
      seed: -1,
      eosId: 0.5,
    }
    const attempt = () => generate(model, [1], wrong)
    expect(attempt).toThrow(ConfigError)
    try {
      attempt()
    } catch (error) {
      expect((error as ConfigError).issues.map(({ path }) => path).sort()).toEqual(Object.keys(wrong).sort())
    }
    expect(() => generate(model, [1], { temperature: Number.NaN })).toThrow(/temperature: must be .*, got NaN/)
  })

  test('prompts that cannot be used', () => {
    const { vocabularySize, contextLength } = model.family.shape(model.config)
    expect(() => generate(model, [])).toThrow(DataError)
    expect(() => generate(model, [1, -1, vocabularySize, 0.5])).toThrow(/3 ids .*: -1 at 1, /)
    expect(() => generate(model, new Int32Array(contextLength))).toThrow(/no room in the model's context/)
  })
})

test('200 tokens leave no tensors behind and need none more on the way', async () => {
  const json = { ...recordedJson<object>('models/llama/config.json'), max_position_embeddings: 1024 }
  const base = open('llama')
  const model = { ...base, config: base.family.parseConfig(json) }
  await collect(model, [1, 2, 3], { maxTokens: 200 }) // what a model keeps for good: its rotary tables
  await collectGarbage() // of the tests before
  const before = live()
  const during: number[] = []
  for await (const id of generate(model, [1, 2, 3], { maxTokens: 200, eosId: [], repetitionPenalty: 1.2, topP: 0.9 })) {
    if (id >= 0) during.push(live().tensors)
  }
  expect(during).toHaveLength(200)
  expect(new Set(during).size).toBe(1)
  expect(live()).toEqual(before)
})

test('a caller who leaves early frees the cache', async () => {
  const model = open('llama')
  await collect(model, [1], { maxTokens: 1 })
  const before = live()
  for await (const id of generate(model, [1, 2, 3], { eosId: [] })) if (id >= 0) break
  expect(live()).toEqual(before)
})

test('what the model’s files say holds where the caller says nothing', async () => {
  const { prompt, tokens } = generationOf('llama')
  const own = { temperature: 0, maxTokens: 5 }
  const model = { ...open('llama'), generation: { ...own, endTokens: [tokens[3]!] } }
  expect((await collect(model, prompt, {})).ids).toEqual(tokens.slice(0, 5))
  expect((await collect(model, prompt, { maxTokens: 2 })).ids).toEqual(tokens.slice(0, 2))
  const { ids, ending } = await collect(model, prompt, { eosId: undefined })
  expect(ids).toEqual(tokens.slice(0, 3))
  expect(ending.reason).toBe('end')
})
