// Each sampler against distributions worked out by hand, the draw against its frequencies.
import { HearthError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { hashCounters } from '../data/index.js'
import {
  allTokens,
  draw,
  greedy,
  minP,
  repetitionPenalty,
  sampleToken,
  temperature,
  topK,
  topP,
  type Candidates,
  type SamplingRule,
} from './index.js'

const unchanged = {
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map<number, number>(),
}
const off: SamplingRule = { temperature: 1, topK: 0, topP: 1, minP: 0, ...unchanged }
const row = (...values: number[]) => Float32Array.from(values)
/** Logits of given probabilities. */
const logitsOf = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log)
const idsOf = (candidates: Candidates) => [...candidates.ids]

describe('the repetition penalty', () => {
  test('divides positive logits and multiplies negative ones, of tokens seen, and changes nothing in place', () => {
    const logits = row(2, -2, 3, -3)
    expect([...repetitionPenalty(logits, [0, 1], 2)]).toEqual([1, -4, 3, -3])
    expect([...logits]).toEqual([2, -2, 3, -3])
  })
})

describe('temperature', () => {
  test('sharpens below 1 and flattens above', () => {
    const probabilities = (value: number) => {
      const weights = [...temperature(logitsOf(0.8, 0.2), value)].map(Math.exp)
      return weights[0]! / (weights[0]! + weights[1]!)
    }
    expect(probabilities(1)).toBeCloseTo(0.8)
    expect(probabilities(0.5)).toBeCloseTo(0.64 / 0.68)
    expect(probabilities(2)).toBeCloseTo(2 / 3)
  })

  test('near zero is the most likely token, not an overflow', () => {
    const rule = { ...off, temperature: 1e-300 }
    for (const uniform of [0, 0.5, 0.999999]) expect(sampleToken(row(3, 80, 79.9), { seen: [] }, rule, uniform)).toBe(1)
  })
})

describe('greedy', () => {
  test('takes the first of equals', () => {
    expect(greedy(row(1, 5, 5, 2))).toBe(1)
    expect(greedy(row(-3, -1, -2))).toBe(1)
  })
})

describe('top-k', () => {
  test('keeps the k most likely, most likely first, of equals those with the lower ids', () => {
    expect(idsOf(topK(row(1, 4, 2, 4, 3), 3))).toEqual([1, 3, 4])
    expect(idsOf(topK(row(2, 1, 2, 2), 2))).toEqual([0, 2])
    expect(idsOf(topK(row(-5, -1, 0, -0.5), 2))).toEqual([2, 3])
    expect([...topK(row(1, 4, 2), 2).logits]).toEqual([4, 2])
  })

  test('of at least the whole vocabulary keeps everything', () => {
    expect(idsOf(topK(row(1, 3, 2), 9))).toEqual([1, 2, 0])
  })

  test('agrees with a full sort on 20,000 random logits with ties', () => {
    const logits = Float32Array.from({ length: 20_000 }, (_, i) => (hashCounters(7, i) % 2001) / 100 - 10)
    const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
    for (const k of [1, 2, 50, 19_999]) expect(idsOf(topK(logits, k))).toEqual(order.slice(0, k))
  })
})

describe('top-p', () => {
  const logits = logitsOf(0.1, 0.5, 0.15, 0.25)

  test('keeps the smallest set that reaches p, most likely first', () => {
    expect(idsOf(topP(allTokens(logits), 0.4))).toEqual([1])
    expect(idsOf(topP(allTokens(logits), 0.6))).toEqual([1, 3])
    expect(idsOf(topP(allTokens(logits), 0.8))).toEqual([1, 3, 2])
    expect(idsOf(topP(allTokens(logits), 0.95))).toEqual([1, 3, 2, 0])
  })

  test('never keeps nothing', () => {
    expect(idsOf(topP(allTokens(logits), 1e-9))).toEqual([1])
  })

  test('counts probabilities of what top-k left', () => {
    // Of 0.5 and 0.25 alone, 0.5 has two thirds.
    expect(idsOf(topP(topK(logits, 2), 0.66))).toEqual([1])
    expect(idsOf(topP(topK(logits, 2), 0.67))).toEqual([1, 3])
  })

  test('of a flat distribution keeps that share of it', () => {
    expect(topP(allTokens(new Float32Array(1000)), 0.2505).ids).toHaveLength(251)
  })
})

describe('min-p', () => {
  test('keeps tokens at least that share as likely as the most likely', () => {
    const logits = logitsOf(0.1, 0.5, 0.15, 0.25)
    expect(idsOf(minP(allTokens(logits), 0.6))).toEqual([1])
    expect(idsOf(minP(allTokens(logits), 0.4))).toEqual([1, 3])
    expect(idsOf(minP(allTokens(logits), 0.19))).toEqual([0, 1, 2, 3])
  })
})

describe('the draw', () => {
  test('follows the probabilities: chi-square of 20,000 draws with a fixed seed', () => {
    const probabilities = [0.05, 0.4, 0.1, 0.3, 0.15]
    const counts = probabilities.map(() => 0)
    const draws = 20_000
    for (let n = 0; n < draws; n++) {
      const id = draw(allTokens(logitsOf(...probabilities)), hashCounters(42, n) / 2 ** 53)
      counts[id] = counts[id]! + 1
    }
    const chiSquare = counts.reduce((sum, count, id) => {
      const expected = draws * probabilities[id]!
      return sum + (count - expected) ** 2 / expected
    }, 0)
    expect(chiSquare).toBeLessThan(18.5) // 4 degrees of freedom: p = 0.001
  })

  test('never takes a forbidden token', () => {
    const logits = row(-Infinity, 0, -Infinity, 0, -Infinity)
    const drawn = [0, 0.49, 0.5, 0.99, 1 - 2 ** -53].map((uniform) => draw(allTokens(logits), uniform))
    expect(drawn).toEqual([1, 1, 3, 3, 3])
  })
})

describe('sampleToken', () => {
  test('applies the penalty before greedy choice', () => {
    const rule = { ...off, temperature: 0, repetitionPenalty: 2 }
    expect(sampleToken(row(3, 2, 1), { seen: [] }, rule, 0)).toBe(0)
    expect(sampleToken(row(3, 2, 1), { seen: [0] }, rule, 0)).toBe(1)
  })

  test('applies temperature before top-p and min-p', () => {
    // 0.5 and 0.3 become 25 : 9 at temperature 1/2: the first has 0.735 alone, and the second a share of 0.36.
    const logits = logitsOf(0.5, 0.3)
    const reaches = (rule: Partial<SamplingRule>) =>
      sampleToken(logits, { seen: [] }, { ...off, ...rule }, 1 - 2 ** -53)
    expect(reaches({ topP: 0.7 })).toBe(1)
    expect(reaches({ topP: 0.7, temperature: 0.5 })).toBe(0)
    expect(reaches({ minP: 0.5 })).toBe(1)
    expect(reaches({ minP: 0.5, temperature: 0.5 })).toBe(0)
  })

  test('refuses logits of a broken model', () => {
    for (const logits of [row(1, Number.NaN), row(Infinity, 1), row(-Infinity, -Infinity)])
      expect(() => sampleToken(logits, { seen: [] }, off, 0.5)).toThrow(HearthError)
    expect(sampleToken(row(-Infinity, 1), { seen: [] }, off, 0.5)).toBe(1)
  })

  test('with top-k reads a vocabulary of 128,000 in a few milliseconds', () => {
    const logits = Float32Array.from({ length: 128_000 }, (_, i) => (hashCounters(1, i) % 4096) / 256)
    const rule = { ...off, temperature: 0.8, topK: 40, topP: 0.95, minP: 0.02, repetitionPenalty: 1.1 }
    const times = Array.from({ length: 15 }, (_, i) => {
      const start = performance.now()
      sampleToken(logits, { seen: [1, 2, 3] }, rule, i / 15)
      return performance.now() - start
    })
    expect(Math.min(...times)).toBeLessThan(20)
  })
})

describe('what changes logits before the choice', () => {
  const greedily = (logits: Float32Array, text: Parameters<typeof sampleToken>[1], rule: Partial<SamplingRule>) =>
    sampleToken(logits, text, { ...off, temperature: 0, ...rule }, 0)

  test('a bias is added to the logits of its tokens', () => {
    expect(greedily(row(3, 2, 1), { seen: [] }, { logitBias: new Map([[2, 2.5]]) })).toBe(2)
  })

  test('frequency counts each time a token was generated, presence counts once', () => {
    const counts = new Map([
      [0, 3],
      [1, 1],
    ])
    const text = { seen: [0, 1, 2], counts }
    expect(greedily(row(3, 2.5, 1), text, { frequencyPenalty: 0.5 })).toBe(1) // 1.5, 2, 1
    expect(greedily(row(3, 2.5, 1), text, { presencePenalty: 0.6 })).toBe(0) // 2.4, 1.9, 1
    expect(greedily(row(3, 2.5, 1), text, { presencePenalty: 2.1 })).toBe(2) // 0.9, 0.4, 1
  })

  test('a mask forbids, whatever the bias', () => {
    const logits = Float32Array.from({ length: 40 }, (_, id) => id)
    const allowed = Uint32Array.of(0b1010, 0b1000)
    expect(greedily(logits, { seen: [], allowed }, {})).toBe(35)
    expect(greedily(logits, { seen: [], allowed }, { logitBias: new Map([[39, 1000]]) })).toBe(35)
    expect(logits[39]).toBe(39)
  })
})
