// Scoring against recorded losses and against the model read window by window.
import { ConfigError, DataError, memoryStats, noGrad, tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { recordedModel } from '../../test/recorded-models.js'
import { recordedJson, recordedTensors } from '../../test/recorded.js'
import { familyOf, logits, type LanguageModel } from '../models/index.js'
import { lastLogits, scoreTokens } from './index.js'

const names = ['gpt2', 'llama', 'llama_gqa', 'gpt_neox', 'gpt_neox_sequential'] as const
const open = (name: string): LanguageModel => recordedModel(familyOf(recordedJson(`models/${name}/config.json`)), name)

/** -log probability of `next` after `text`, in float64 from the model's logits. */
function natsOf(model: LanguageModel, text: number[], next: number): number {
  const row = noGrad(() => logits(model, tensor([text], { dtype: 'int64' }), { lastOnly: true }).toArray())
  const largest = Math.max(...row)
  return Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) - (row[next]! - largest)
}

test.each(names)('%s: the mean over the recorded batch is its recorded loss', async (name) => {
  const model = open(name)
  const file = recordedTensors(`models/${name}.safetensors`)
  const [ids, targets] = ['ids', 'targets'].map((what) => file.tensor(`long.${what}`).toNested() as number[][])
  const scores = await Promise.all(ids!.map((row, i) => scoreTokens(model, [...row, targets![i]!.at(-1)!])))
  const { loss } = recordedJson<{ long: { loss: number } }>(`models/${name}.json`).long
  expect(Math.abs((scores[0]!.loss + scores[1]!.loss) / 2 / loss - 1)).toBeLessThan(1e-5)
  expect(scores[0]!.tokens).toBe(16)
  expect(scores[0]!.perplexity).toBeCloseTo(Math.exp(scores[0]!.nats / 16))
})

describe('a text longer than the window', () => {
  const model = open('llama')
  const { vocabularySize } = model.family.shape(model.config)
  const ids = Array.from({ length: 23 }, (_, i) => (i * i * 7 + 3 * i) % vocabularySize)

  test.each([
    [8, 8],
    [8, 3],
    [8, 1],
    [22, 22],
    [30, 30],
  ])('window %i, stride %i: each token is scored once, from the tokens its window holds', async (window, stride) => {
    const { perToken, nats, tokens } = await scoreTokens(model, ids, { window, stride })
    expect(tokens).toBe(22)
    for (let target = 1; target < ids.length; target++) {
      // The first window that reaches the target starts at the least multiple of the stride that is near enough.
      const start = Math.max(0, Math.ceil((target - window) / stride)) * stride
      const expected = natsOf(model, ids.slice(start, target), ids[target]!)
      expect(Math.abs(perToken[target - 1]! - expected), `target ${target}`).toBeLessThan(1e-4)
    }
    expect(nats).toBeCloseTo(
      [...perToken].reduce((sum, value) => sum + value, 0),
      10,
    )
  })

  test('is scored whole by default where the context allows', async () => {
    const { perToken } = await scoreTokens(model, ids)
    expect(perToken[21]).toBeCloseTo(natsOf(model, ids.slice(0, 22), ids[22]!), 4)
  })

  test('reports its progress, stops for a signal, and leaves no tensors behind', async () => {
    const before = memoryStats().liveTensors
    const seen: number[] = []
    await scoreTokens(model, ids, { window: 10, onProgress: (scored) => seen.push(scored) })
    expect(seen).toEqual([10, 20, 22])
    await expect(scoreTokens(model, ids, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
    expect(memoryStats().liveTensors).toBe(before)
  })
})

test('last logits are those of a forward pass', () => {
  const model = open('gpt2')
  const expected = noGrad(() =>
    logits(model, tensor([[5, 6, 7]], { dtype: 'int64' }))
      .select(1, 2)
      .toArray(),
  )
  const got = lastLogits(model, [5, 6, 7])
  expect(got).toHaveLength(model.family.shape(model.config).vocabularySize)
  got.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5))
})

describe('mistakes', () => {
  const model = open('gpt2')
  const context = model.family.shape(model.config).contextLength

  test('in window and stride are reported together', async () => {
    await expect(scoreTokens(model, [1, 2, 3], { window: context + 1, stride: 0 })).rejects.toThrow(ConfigError)
    await expect(scoreTokens(model, [1, 2, 3], { window: 0.5, stride: -1 })).rejects.toThrow(/window(.|\n)*stride/)
    await expect(scoreTokens(model, [1, 2, 3], { window: 4, stride: 5 })).rejects.toThrow(/stride: .*window of 4/)
  })

  test('in the ids are said clearly', async () => {
    await expect(scoreTokens(model, [1])).rejects.toThrow(DataError)
    await expect(scoreTokens(model, [])).rejects.toThrow(/the text is empty/)
    await expect(scoreTokens(model, [1, 1e9])).rejects.toThrow(/not in the model's vocabulary/)
    expect(() => lastLogits(model, [1e9])).toThrow(DataError)
  })
})
