import { describe, expect, test } from 'vitest'
import { DEFAULT_JUDGE, Judge, type JudgeOptions, type Verdict } from './judge.js'

const options: JudgeOptions = { ...DEFAULT_JUDGE, window: 8, skipBatches: 20, calmSteps: 10, checkpointEvery: 10 }
const NOT_FINITE = { loss: 2, gradientNorm: NaN }
const GOOD = { loss: 2, gradientNorm: 1 }

/** Trains from step to step; the loss moves a little, as losses do. */
function calm(judge: Judge, from: number, to: number): void {
  for (let step = from; step < to; step++)
    expect(judge.judge({ step, loss: 2 + 0.1 * Math.sin(step), gradientNorm: 1 })).toEqual({ kind: 'go on' })
}

/** What is said of batch after batch whose gradient is not finite, until the run goes back or ends. */
function trouble(judge: Judge, step: number): Verdict {
  for (let attempt = 0; attempt < 6; attempt++) {
    const verdict = judge.judge({ step, ...NOT_FINITE })
    expect(verdict.kind).toBe(attempt < 5 ? (attempt % 2 === 0 ? 'again' : 'skip') : verdict.kind)
    if (attempt === 5) return verdict
  }
  throw new Error('nothing was said')
}

describe('a gradient that is not finite', () => {
  test.each([NaN, Infinity])('(norm %d) is computed once more; if it is right then, nothing was left out', (norm) => {
    const judge = new Judge(options)
    expect(judge.judge({ step: 0, loss: 2, gradientNorm: norm })).toMatchObject({ kind: 'again' })
    expect(judge.judge({ step: 0, ...GOOD })).toEqual({ kind: 'go on' })
    expect(judge.batchOf(1)).toBe(1)
  })

  test('the second time costs its batch: the same step is done with the next', () => {
    const judge = new Judge(options)
    calm(judge, 0, 5)
    judge.judge({ step: 5, ...NOT_FINITE })
    expect(judge.judge({ step: 5, ...NOT_FINITE })).toMatchObject({ kind: 'skip' })
    expect([4, 5, 6].map((step) => judge.batchOf(step))).toEqual([4, 6, 7])
  })

  test('in three batches in a row makes the run go back, and leave out all from there up to the trouble', () => {
    const judge = new Judge(options)
    calm(judge, 0, 35)
    expect(trouble(judge, 35)).toMatchObject({ kind: 'rewind', to: 30, skipped: [30, 50] })
    expect([29, 30, 31].map((step) => judge.batchOf(step))).toEqual([29, 50, 51])
  })

  test('soon after going back marks that checkpoint bad, and the one before it is used', () => {
    const judge = new Judge(options)
    calm(judge, 0, 35)
    trouble(judge, 35)
    judge.restored(undefined)
    calm(judge, 30, 33)
    // Batches 50 to 52 were good; 53, 54 and 55 are not.
    expect(trouble(judge, 33)).toMatchObject({ kind: 'rewind', to: 20, bad: 30, skipped: [20, 56] })
    expect(judge.batchOf(20)).toBe(56)
  })

  test('long after going back is new trouble: no checkpoint is blamed for it', () => {
    const judge = new Judge(options)
    calm(judge, 0, 35)
    trouble(judge, 35)
    judge.restored(undefined)
    calm(judge, 30, 55)
    expect(trouble(judge, 55)).not.toHaveProperty('bad')
  })

  test('again and again ends the run after three times without coming further', () => {
    const judge = new Judge(options)
    const verdicts = [0, 1, 2, 3].map(() => trouble(judge, 5).kind)
    expect(verdicts).toEqual(['rewind', 'rewind', 'rewind', 'give up'])
  })
})

describe('a loss spike', () => {
  test('is six deviations above the window, and treated as a gradient that is not finite', () => {
    const judge = new Judge(options)
    calm(judge, 0, 20)
    expect(judge.judge({ step: 20, loss: 6, gradientNorm: 50 })).toMatchObject({ kind: 'again' })
    expect(judge.judge({ step: 20, loss: 6, gradientNorm: 50 })).toMatchObject({ kind: 'skip' })
    expect(judge.batchOf(20)).toBe(21)
  })

  test('is not a loss below the others, nor one before the window is full', () => {
    const judge = new Judge(options)
    expect(judge.judge({ step: 0, loss: 100, gradientNorm: 1 }).kind).toBe('go on')
    const full = new Judge(options)
    calm(full, 0, 20)
    expect(full.judge({ step: 20, loss: 0.01, gradientNorm: 1 }).kind).toBe('go on')
  })

  test('is not what losses of a text known by heart do, which hardly differ', () => {
    const judge = new Judge(options)
    for (let step = 0; step < 20; step++) judge.judge({ step, loss: 0.1 + 1e-5 * (step % 2), gradientNorm: 1 })
    expect(judge.judge({ step: 20, loss: 0.12, gradientNorm: 1 }).kind).toBe('go on')
  })

  test('is never seen with spikeDeviations 0', () => {
    const judge = new Judge({ ...options, spikeDeviations: 0 })
    calm(judge, 0, 20)
    expect(judge.judge({ step: 20, loss: 1e6, gradientNorm: 1 }).kind).toBe('go on')
  })
})

test('a judge that was saved as JSON at any moment and read again says the same', () => {
  const [whole, saved] = [new Judge(options), { judge: new Judge(options) }]
  for (let step = 0; step < 60; step++) {
    const wrong = step % 13 === 12
    for (let attempt = 0; attempt < (wrong ? 2 : 1); attempt++) {
      const attempted = { step, loss: 2 + Math.sin(step), gradientNorm: wrong ? NaN : 1 }
      expect(saved.judge.judge(attempted)).toEqual(whole.judge(attempted))
    }
    saved.judge = new Judge(options, JSON.parse(JSON.stringify(saved.judge.state)) as typeof whole.state)
    expect(saved.judge.batchOf(step + 1)).toBe(whole.batchOf(step + 1))
  }
  expect(whole.batchOf(60)).toBeGreaterThan(60)
})

test('a thousand places where batches were left out still have room in a record, and count', () => {
  const judge = new Judge(options)
  for (let step = 0; step < 3000; step++)
    for (let attempt = 0; attempt < 2; attempt++) {
      judge.judge({ step, ...NOT_FINITE })
      if (attempt === 1) judge.judge({ step, ...GOOD })
    }
  expect(judge.batchOf(3000)).toBe(6000)
  expect(JSON.stringify(judge.state).length).toBeLessThan(60_000)
})
