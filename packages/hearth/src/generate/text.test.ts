// Streaming of text: characters, stop strings and endings. The model here says a fixed text, so that what it says is
// known: its logits point to the next token of a script.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { ConfigError, full, memoryStats, zeros, type Tensor } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { fixture } from '../../test/recorded.js'
import { Tokenizer } from '../data/index.js'
import { gpt2, type ForwardOptions, type LanguageModel } from '../models/index.js'
import type { KeyValueCache } from '../nn/index.js'
import { completeText, generateText, type GenerateTextOptions } from './index.js'

const definition = gunzipSync(readFileSync(fixture('tokenizers/gpt-2.tokenizer.json.gz'))).toString()
const tokenizer = Tokenizer.fromJson(JSON.parse(definition))
const PROMPT = 'Say it:'
const END = tokenizer.endOfText!

/** A model that goes on with `said` after the prompt, and then ends the text. */
function speaker(said: string): LanguageModel {
  const script = [...tokenizer.encode(PROMPT), ...tokenizer.encode(said), END]
  const config = { ...gpt2.parseConfig({}), layers: 0, endTokens: [] }
  const forward = (_: unknown, __: unknown, ids: Tensor, options: ForwardOptions = {}): Tensor => {
    const cache = options.cache as KeyValueCache
    cache.advance(ids.shape[1]!)
    const row = full([1, 1, 50_257], -10)
    row.data()[script[cache.length]!] = 10
    return row
  }
  return { family: { ...gpt2, forward }, config, weights: { nothing: zeros([1]) } }
}

async function pieces(said: string, options: GenerateTextOptions = {}): Promise<string[]> {
  const out: string[] = []
  for await (const piece of generateText(speaker(said), tokenizer, PROMPT, { temperature: 0, ...options }))
    out.push(piece)
  return out
}

describe('the text', () => {
  const said = ' Call me Ishmael. 🦜 naïve 漢字 𝔘𝔫𝔦𝔠𝔬𝔡𝔢'

  test('comes in pieces that are the text together, and none is a broken character', async () => {
    const got = await pieces(said)
    expect(got.join('')).toBe(said)
    expect(got.length).toBeGreaterThan(8)
    for (const piece of got) expect(Buffer.from(piece, 'utf8').toString('utf8')).toBe(piece)
    expect(got.join('')).not.toContain('\ufffd')
  })

  test('ends with the end-of-text token, which is not part of it', async () => {
    const result = await completeText(speaker(said), tokenizer, PROMPT, { temperature: 0 })
    const tokens = tokenizer.encode(said).length
    expect(result).toEqual({ text: said, reason: 'end', promptTokens: tokenizer.encode(PROMPT).length, tokens })
  })

  test('that is cut inside a character ends with the mark of a broken one', async () => {
    const ids = tokenizer.encode(' 🦜')
    const result = await completeText(speaker(' 🦜'), tokenizer, PROMPT, { temperature: 0, maxTokens: ids.length - 1 })
    expect(result.text.endsWith('\ufffd')).toBe(true)
    expect(result.reason).toBe('length')
  })

  test('goes on from ids as from text', async () => {
    const result = await completeText(speaker(said), tokenizer, tokenizer.encode(PROMPT), { temperature: 0 })
    expect(result.text).toBe(said)
  })

  test('without a prompt starts from the end-of-text token', async () => {
    const result = await completeText(speaker(said), tokenizer, '', { temperature: 0, maxTokens: 1 })
    expect(result.promptTokens).toBe(1)
  })
})

describe('stop strings', () => {
  const said = ' One, two, three.\nUser: four'

  test('are cut, though they straddle tokens, and no beginning of one is given out', async () => {
    const stop = ['.\nUser:']
    expect(tokenizer.encode(stop[0]!).length).toBeGreaterThan(2)
    const got = await pieces(said, { stop })
    expect(got.join('')).toBe(' One, two, three')
    expect(got.every((piece) => piece !== '')).toBe(true)
    const result = await completeText(speaker(said), tokenizer, PROMPT, { temperature: 0, stop })
    expect(result.reason).toBe('stop')
    expect(result.tokens).toBeLessThan(tokenizer.encode(said).length)
  })

  test('that never are completed change nothing', async () => {
    const result = await completeText(speaker(said), tokenizer, PROMPT, { temperature: 0, stop: ['four more'] })
    expect(result.text).toBe(said)
    expect(result.reason).toBe('end')
  })

  test('must not be empty, which is said together with all other mistakes', () => {
    const attempt = () => generateText(speaker(said), tokenizer, PROMPT, { stop: ['a', ''], topP: 7 })
    expect(attempt).toThrow(ConfigError)
    expect(attempt).toThrow(/2 problems(.|\n)*topP(.|\n)*stop\.1/)
  })
})

test('a text that stops, or is left, frees what it held', async () => {
  const model = speaker(' a b c d')
  const before = memoryStats().liveTensors
  await completeText(model, tokenizer, PROMPT, { temperature: 0, stop: [' c'] })
  expect(memoryStats().liveTensors).toBe(before)
  for await (const piece of generateText(model, tokenizer, PROMPT, { temperature: 0 })) if (piece !== '') break
  expect(memoryStats().liveTensors).toBe(before)
})
