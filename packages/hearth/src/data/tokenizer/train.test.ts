import { readFileSync } from 'node:fs'
import { ConfigError, DataError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { END_OF_TEXT, trainByteLevelBpe } from './train.js'

const recorded = JSON.parse(
  readFileSync(new URL('../../../../../fixtures/tokenizers/trained.json', import.meta.url), 'utf8'),
) as { text: string; byteLevel: { merges: string[] } }

describe('trainByteLevelBpe', () => {
  test('finds the merges of Hugging Face’s trainer, in the same order', async () => {
    const { merges } = recorded.byteLevel
    const lines = recorded.text.match(/[^\n]*\n|[^\n]+$/g)! // that trainer reads a file line by line
    const tokenizer = await trainByteLevelBpe(lines, { vocabSize: 257 + merges.length, minFrequency: 1 })
    expect(merges.length).toBeGreaterThan(1000)
    expect(tokenizer.vocabSize).toBe(257 + merges.length)
    const tokens = merges.map((_, i) => tokenizer.token(257 + i))
    expect(tokens).toEqual(merges.map((merge) => merge.replace(' ', '')))
  })

  test('its tokenizer encodes any text and gives it back', async () => {
    const tokenizer = await trainByteLevelBpe([recorded.text], { vocabSize: 600 })
    expect(tokenizer.vocabSize).toBe(600)
    expect(tokenizer.token(0)).toBe(END_OF_TEXT)
    expect(tokenizer.endOfText).toBe(0)
    for (const text of [recorded.text, '你好 🦙\n\n  \t\u0000', '']) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
    }
    expect(tokenizer.encode(recorded.text).length).toBeLessThan(recorded.text.length / 2)
  })

  test('reads an async source, a piece at a time', async () => {
    async function* pieces(): AsyncGenerator<string> {
      for (let i = 0; i < 100; i++) yield await Promise.resolve(recorded.text)
    }
    const once = await trainByteLevelBpe([recorded.text], { vocabSize: 400, minFrequency: 1 })
    const many = await trainByteLevelBpe(pieces(), { vocabSize: 400, minFrequency: 100 })
    expect(many.hash).toBe(once.hash)
  })

  test('stops early when no pair is frequent enough', async () => {
    const tokenizer = await trainByteLevelBpe(['ab ab cd'], { vocabSize: 1000 })
    expect(tokenizer.vocabSize).toBe(258) // ab, then nothing occurs twice
  })

  test('a document that holds the text <|endoftext|> does not teach the special token', async () => {
    const texts = Array.from({ length: 100 }, () => 'a<|endoftext|>b<|endoftext|>')
    const tokenizer = await trainByteLevelBpe(texts, { vocabSize: 400 })
    const ids = tokenizer.encode(texts[0]!, { recognizeSpecialTokens: false })
    expect([...ids]).not.toContain(0)
    expect(tokenizer.decode(ids)).toBe(texts[0])
  })

  test('a run of a million equal letters is no trap', async () => {
    const tokenizer = await trainByteLevelBpe(['a'.repeat(1_000_000)], { vocabSize: 300 })
    expect(tokenizer.encode('a'.repeat(256))).toHaveLength(1)
  })

  test('impossible sizes are refused all at once', async () => {
    const training = trainByteLevelBpe(['a'], { vocabSize: 100, minFrequency: 0 })
    await expect(training).rejects.toThrow(ConfigError)
    await expect(training).rejects.toThrow(/vocabSize: got 100; expected an integer from 257[^]*minFrequency: got 0/)
    await expect(trainByteLevelBpe(['a'], { vocabSize: Number.NaN })).rejects.toThrow(/vocabSize: got NaN/)
  })

  test('no text at all is refused', async () => {
    await expect(trainByteLevelBpe([], { vocabSize: 300 })).rejects.toThrow(DataError)
    await expect(trainByteLevelBpe(['', ''], { vocabSize: 300 })).rejects.toThrow(/no text to train a tokenizer on/)
  })

  test('reports progress and stops when told to', async () => {
    async function* endless(): AsyncGenerator<string> {
      for (;;) yield await Promise.resolve(recorded.text)
    }
    const controller = new AbortController()
    const seen: number[] = []
    const training = trainByteLevelBpe(endless(), {
      vocabSize: 1000,
      signal: controller.signal,
      onProgress: ({ bytes }) => {
        seen.push(bytes)
        if (seen.length === 3) controller.abort(new Error('stop here'))
      },
    })
    await expect(training).rejects.toThrow('stop here')
    expect(seen[2]).toBeGreaterThan(seen[0]!)
  })
})
