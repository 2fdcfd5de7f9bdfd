import type { Tensor } from '@hearth/torch'
import { Generator, randn, scope } from '@hearth/torch'
import { describe, expect, test } from 'vitest'
import { applyRotary, rotaryFrequencies, rotaryTables, scaledContextLength, type Rotary } from './index.js'

const rotary = (scaling: Rotary['scaling'], rest: Partial<Rotary> = {}): Rotary => ({
  dims: 16,
  theta: 10_000,
  contextLength: 128,
  scaling,
  ...rest,
})
const frequenciesOf = (scaling: Rotary['scaling'], length = 128, rest: Partial<Rotary> = {}) =>
  rotaryFrequencies(rotary(scaling, rest), length).frequencies
const plain = Array.from({ length: 8 }, (_, pair) => 10_000 ** (-pair / 8))
const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b)

describe('frequencies', () => {
  test('without scaling they are theta^(-2i / dims), whatever the length', () => {
    for (const length of [1, 128, 5000])
      for (const [pair, frequency] of frequenciesOf({ kind: 'default' }, length).entries())
        expect(relative(frequency, plain[pair]!)).toBeLessThan(1e-6)
  })

  test.each([1, 1.5, 2, 8, 40])('linear scaling by %s gives position p the angle of p / factor', (factor) => {
    const scaled = frequenciesOf({ kind: 'linear', factor })
    for (const [pair, frequency] of scaled.entries())
      expect(relative(frequency * factor, plain[pair]!)).toBeLessThan(1e-6)
  })

  test('dynamic scaling changes nothing up to the context, and beyond it only slows', () => {
    const inside = frequenciesOf({ kind: 'dynamic', factor: 4 }, 100)
    for (const [pair, frequency] of inside.entries()) expect(relative(frequency, plain[pair]!)).toBeLessThan(1e-6)
    let before = inside
    for (const length of [129, 200, 512]) {
      const now = frequenciesOf({ kind: 'dynamic', factor: 4 }, length)
      expect(now[0]).toBe(1)
      for (let pair = 1; pair < 8; pair++) expect(now[pair]!).toBeLessThan(before[pair]!)
      before = now
    }
  })

  test('dynamic scaling interpolates the slowest pair exactly by the stretch of the text (the NTK rule)', () => {
    // base' = base · s^(d/(d-2)) with s = factor · length / context - (factor - 1) divides the slowest frequency by s.
    const stretch = (4 * 512) / 128 - 3
    const slowest = frequenciesOf({ kind: 'dynamic', factor: 4 }, 512)[7]!
    expect(relative(slowest * stretch, plain[7]!)).toBeLessThan(1e-5)
  })

  test.each([2, 8, 32])(
    'llama3 scaling by %s keeps fast pairs, divides slow ones, and is ordered between',
    (factor) => {
      const scaling = {
        kind: 'llama3',
        factor,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalContextLength: 64,
      } as const
      const scaled = frequenciesOf(scaling)
      for (const [pair, frequency] of scaled.entries()) {
        const rotations = (64 * plain[pair]!) / (2 * Math.PI)
        if (rotations > 4) expect(relative(frequency, plain[pair]!)).toBeLessThan(1e-6)
        else if (rotations < 1) expect(relative(frequency * factor, plain[pair]!)).toBeLessThan(1e-6)
        else {
          expect(frequency).toBeLessThan(plain[pair]!)
          expect(frequency).toBeGreaterThan(plain[pair]! / factor)
        }
        if (pair > 0) expect(frequency).toBeLessThan(scaled[pair - 1]!)
      }
    },
  )

  const yarn = { kind: 'yarn', originalContextLength: 64, betaFast: 32, betaSlow: 1, truncate: true } as const

  test.each([2, 4, 16])('yarn by %s keeps the pairs before its ramp and divides those behind it', (factor) => {
    const scaled = frequenciesOf({ ...yarn, factor })
    const pairOf = (rotations: number) => (16 * Math.log(64 / (rotations * 2 * Math.PI))) / (2 * Math.log(10_000))
    const [low, high] = [Math.max(0, Math.floor(pairOf(32))), Math.ceil(pairOf(1))]
    expect(high).toBeGreaterThan(low + 1)
    for (const [pair, frequency] of scaled.entries()) {
      const divided = Math.min(1, Math.max(0, (pair - low) / (high - low)))
      const expected = plain[pair]! * (1 - divided) + (plain[pair]! / factor) * divided
      expect(relative(frequency, expected)).toBeLessThan(1e-6)
    }
  })

  test('the amplitude of yarn is 0.1 ln(factor) + 1 unless the configuration says otherwise', () => {
    const amplitude = (extra: object) => rotaryFrequencies(rotary({ ...yarn, factor: 8, ...extra }), 64).amplitude
    expect(amplitude({})).toBeCloseTo(0.1 * Math.log(8) + 1, 12)
    expect(amplitude({ attentionFactor: 0.7 })).toBe(0.7)
    expect(amplitude({ mscale: 2, mscaleAllDim: 2 })).toBe(1)
    expect(amplitude({ mscale: 2, mscaleAllDim: 1 })).toBeCloseTo((0.2 * Math.log(8) + 1) / (0.1 * Math.log(8) + 1), 12)
  })

  test('linear and dynamic scaling let the model read longer texts; the others are already counted', () => {
    expect(scaledContextLength(rotary({ kind: 'linear', factor: 2 }))).toBe(256)
    expect(scaledContextLength(rotary({ kind: 'dynamic', factor: 2.5 }))).toBe(320)
    expect(scaledContextLength(rotary({ ...yarn, factor: 4 }))).toBe(128)
  })
})

describe('turning', () => {
  const x = randn([1, 2, 1, 16], { generator: new Generator(3) })
  const y = randn([1, 2, 1, 16], { generator: new Generator(4) })
  const at = (rope: Rotary, position: number, vector: Tensor) => applyRotary(vector, rotaryTables(rope, position, 1))

  test('the product of two turned vectors depends on their distance alone', () => {
    const rope = rotary({ kind: 'default' })
    const product = (i: number, j: number) =>
      at(rope, i, x)
        .mul(at(rope, j, y))
        .sum()
        .item()
    for (const [i, j] of [
      [0, 5],
      [7, 12],
      [100, 105],
    ] as const)
      expect(product(i, j)).toBeCloseTo(product(20, 25), 4)
    expect(Math.abs(product(0, 5) - product(0, 6))).toBeGreaterThan(1e-3)
  })

  test('position 0 changes nothing, and dimensions beyond those that turn never change', () => {
    const rope = rotary({ kind: 'default' }, { dims: 4 })
    expect(at(rope, 0, x).toArray()).toEqual(x.toArray())
    expect(at(rope, 77, x).narrow(3, 4, 12).toArray()).toEqual(x.narrow(3, 4, 12).toArray())
  })

  test('tables asked for again, longer, shorter or from another start, agree', () => {
    const rope = rotary({ kind: 'default' })
    const short = rotaryTables(rope, 3, 2).cos.toArray()
    rotaryTables(rope, 0, 4000)
    expect(rotaryTables(rope, 3, 2).cos.toArray()).toEqual(short)
    expect(rotaryTables(rope, 0, 5).cos.narrow(0, 3, 2).toArray()).toEqual(short)
  })

  test('tables survive the scope they were first made in', () => {
    const rope = rotary({ kind: 'default' })
    scope(() => void rotaryTables(rope, 0, 8))
    expect(rotaryTables(rope, 0, 1).cos.toArray()).toEqual(Array(16).fill(1))
  })

  test('a table in bfloat16 is the float32 table rounded, not one of rounded angles', () => {
    const rope = rotary({ kind: 'default' })
    const wide = rotaryTables(rope, 1000, 3).sin.to('bfloat16').toArray()
    expect(rotaryTables(rope, 1000, 3, 'bfloat16').sin.toArray()).toEqual(wide)
  })
})

test('longrope: short factors up to the original length, long ones beyond it, for every table', () => {
  const scaling = {
    kind: 'longrope',
    factor: 4,
    originalContextLength: 16,
    shortFactors: [1, 2],
    longFactors: [5, 10],
  } as const
  const rotary: Rotary = { dims: 4, theta: 100, contextLength: 64, scaling }
  const amplitude = Math.sqrt(1 + Math.log(4) / Math.log(16))
  expect(rotaryFrequencies(rotary, 16).amplitude).toBeCloseTo(amplitude, 12)
  const near = (length: number, expected: number[]) =>
    rotaryFrequencies(rotary, length).frequencies.forEach((f, pair) => expect(f).toBeCloseTo(expected[pair]!, 7))
  near(16, [1, 0.05])
  near(17, [0.2, 0.01])
  const cosOf = (length: number) =>
    rotaryTables(rotary, 3, length - 3)
      .cos.select(0, 0)
      .toArray()
  expect(cosOf(16)[0]).toBeCloseTo(Math.cos(3) * amplitude, 6)
  expect(cosOf(40)[0]).toBeCloseTo(Math.cos(0.6) * amplitude, 6)
  expect(cosOf(8)[0]).toBeCloseTo(Math.cos(3) * amplitude, 6)
})
