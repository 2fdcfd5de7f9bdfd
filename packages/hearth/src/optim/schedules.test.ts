// Shapes that the recorded schedules do not cover, and mistakes in the settings.
import { ConfigError } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { schedule, type ScheduleSettings } from './index.js'

describe('warmup-stable-decay', () => {
  const settings = {
    kind: 'wsd',
    peak: 1,
    warmupSteps: 10,
    totalSteps: 100,
    minRatio: 0.1,
    decayFraction: 0.2,
  } as const

  test('rises, stays at the peak, and comes down over its last share', () => {
    const rate = schedule(settings)
    expect(rate(0)).toBeCloseTo(0.1)
    expect(rate(9)).toBe(1)
    expect(rate(79)).toBe(1)
    expect(rate(80)).toBe(1)
    expect(rate(90)).toBeCloseTo(0.55)
    expect(rate(100)).toBeCloseTo(0.1)
  })

  test('with a square root comes down fast first', () => {
    const rate = schedule({ ...settings, decay: 'sqrt' })
    expect(rate(80)).toBe(1)
    expect(rate(85)).toBeCloseTo(0.1 + 0.9 * 0.5)
    expect(rate(100)).toBeCloseTo(0.1)
  })
})

test('constant needs no end', () => {
  const rate = schedule({ kind: 'constant', peak: 0.3, warmupSteps: 3 })
  expect([0, 1, 2, 3, 1e9].map(rate)).toEqual([0.3 / 3, (0.3 * 2) / 3, 0.3, 0.3, 0.3])
})

describe('mistakes are reported all at once', () => {
  const attempt = (settings: unknown) => () => schedule(settings as ScheduleSettings)

  test('numbers out of range', () => {
    const wrong = { kind: 'cosine', peak: Number.NaN, warmupSteps: -1, totalSteps: 1.5, minRatio: 2 }
    expect(attempt(wrong)).toThrow(ConfigError)
    expect(attempt(wrong)).toThrow(/4 problems(.|\n)*peak(.|\n)*warmupSteps(.|\n)*minRatio(.|\n)*totalSteps/)
  })

  test('a warm-up longer than the run', () => {
    expect(attempt({ kind: 'linear', peak: 1, warmupSteps: 100, totalSteps: 100 })).toThrow(/below totalSteps \(100\)/)
  })

  test('a warm-up and a decay that do not fit together', () => {
    const wrong = { kind: 'wsd', peak: 1, warmupSteps: 60, totalSteps: 100, decayFraction: 0.5 }
    expect(attempt(wrong)).toThrow(/50 steps of decay and 60 of warm-up do not fit into 100/)
  })

  test('a kind that does not exist', () => {
    expect(attempt({ kind: 'cosin', peak: 1 })).toThrow(/constant, cosine, linear or wsd, got cosin/)
  })
})
