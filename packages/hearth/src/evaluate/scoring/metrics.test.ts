// Numbers worked out by hand, and by Python's own random module.
import { describe, expect, test } from 'vitest'
import { exactMatch, FILTERS } from './filters.js'
import { aggregate, choiceMetrics, groupError, groupScore, rollingMetrics, standardError } from './metrics.js'
import { PythonRandom } from './python-random.js'

test('random numbers are Python’s: random(), sample() by both of its ways, and seeds beyond 32 bits', () => {
  const random = new PythonRandom(1234)
  expect([random.random(), random.random(), random.random()]).toEqual([
    0.9664535356921388, 0.4407325991753527, 0.007491470058587191,
  ])
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)
  const drawer = new PythonRandom(1234)
  expect(drawer.sample(upTo(10), 5)).toEqual([7, 1, 0, 9, 4])
  expect(drawer.sample(upTo(1000), 5)).toEqual([35, 687, 709, 85, 100])
  expect(drawer.sample(upTo(200), 7)).toEqual([196, 90, 60, 4, 7, 88, 165])
  expect(drawer.sample(upTo(60), 25).slice(-4)).toEqual([37, 2, 17, 35])
  expect(new PythonRandom(2 ** 40 + 7).sample(upTo(100), 4)).toEqual([78, 95, 81, 73])
})

describe('scores and standard errors', () => {
  test('of a mean: s/√n with n - 1', async () => {
    expect(aggregate('mean', [1, 0, 0, 1, 1])).toBe(0.6)
    expect(await standardError('mean', [1, 0, 0, 1, 1], 100000)).toBeCloseTo(Math.sqrt(0.3 / 5), 14)
    expect(await standardError('mean', [1], 100000)).toBeUndefined()
    expect(await standardError('mean', [1, 0], 0)).toBeUndefined()
  })

  test('of a perplexity: the bootstrap that Python draws', async () => {
    const items = [-2.5, -0.25, -3.75, -1.0, -0.125]
    expect(aggregate('perplexity', items)).toBeCloseTo(4.595143569306688, 12)
    expect(await standardError('perplexity', items, 2000)).toBeCloseTo(4.066147825058954, 10)
  })

  test('of texts: over all their words or bytes, without a standard error', async () => {
    const items = [rollingMetrics(-10, 'one two'), rollingMetrics(-26, 'ümläut x y ')]
    const words = items.map(({ word_perplexity: item }) => item!)
    expect(words).toEqual([
      [-10, 2],
      [-26, 4],
    ])
    expect(aggregate('weighted_perplexity', words)).toBeCloseTo(Math.exp(6), 9)
    const bytes = items.map(({ bits_per_byte: item }) => item!)
    expect(aggregate('bits_per_byte', bytes)).toBeCloseTo(36 / (7 + 13) / Math.log(2), 12)
    expect(await standardError('bits_per_byte', bytes, 1000)).toBeUndefined()
  })

  test('of a group: weighted by its documents, the error of the pooled variance', () => {
    expect(groupScore([0.5, 0.8], [10, 30], true)).toBeCloseTo(0.725, 12)
    expect(groupScore([0.5, 0.8], [10, 30], false)).toBeCloseTo(0.65, 12)
    // (9·0.1²·10 + 29·0.05²·30) / (40 - 2) / 40
    expect(groupError([0.1, 0.05], [10, 30])).toBeCloseTo(Math.sqrt((0.9 + 2.175) / 38 / 40), 12)
  })
})

test('a choice is the likeliest, by its sum, by the character, by the byte, or beside itself without the question', () => {
  const said = (...logprobs: number[]) => logprobs.map((logprob, i) => ({ logprob, greedy: i === 1 }))
  // Per character -1, -1.5, -0.8; per byte -1, -1.5, -0.5 (ü is two).
  const metrics = choiceMetrics(said(-4, -3, -4, -5, -1, -6), ['four', 'no', 'üüüx!'], [2])
  expect(metrics).toEqual({ acc: 0, acc_norm: 1, acc_bytes: 1, exact_match: 0, acc_mutual_info: 1 })
  expect(choiceMetrics(said(-4, -3, -4), ['four', 'no', 'üüüx!'], [0, 1])).toMatchObject({ acc: 1, exact_match: 1 })
  expect(choiceMetrics(said(-4, -4), ['a', 'b'], [1]).acc).toBe(0) // the first of equals
  expect(choiceMetrics(said(-4, -4), ['a', 'b'], []).acc).toBe(0)
  expect(choiceMetrics(said(-3, -4), ['ab', 'üü'], [1])).toMatchObject({ acc_norm: 0, acc_bytes: 1 })
})

describe('filters', () => {
  const answer = 'She has 1,200 eggs.\nSo it is $18.\n#### 18'
  const make = (name: string, fields = {}) => FILTERS[name]!.make(fields)

  test('regex takes the match that is asked for, its first group that is not empty, and else the fallback', () => {
    expect(make('regex')([answer, 'none'])).toEqual(['18', '[invalid]'])
    const last = make('regex', { group_select: -1, regex_pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)' })
    expect(last([answer, 'I say 7', 'no'])).toEqual(['18', '7', '[invalid]'])
    expect(make('regex', { group_select: 3, regex_pattern: 'e' })(['e', 'eeee'])).toEqual(['[invalid]', 'e'])
    expect(make('regex', { regex_pattern: '(?s)s.*(?P<n>\\d)\\Z', fallback: '' })([answer])).toEqual(['8'])
  })

  test('the others', () => {
    expect(make('remove_whitespace')([' a\n'])).toEqual(['a'])
    expect(make('majority_vote')(['b', 'a', 'a', 'b'])).toEqual(['b'])
    expect(make('take_first_k', { k: 2 })(['a', 'b', 'c'])).toEqual(['a', 'b'])
    expect(make('map', { mapping_dict: { A: 1 }, default_value: 0 })(['A', 'B'])).toEqual([1, 0])
    expect(make('uppercase')(make('lowercase')(['aB']))).toEqual(['AB'])
  })

  test('exact_match ignores what the task says, in the answer and in the right one', () => {
    const gsm8k = exactMatch({ ignore_case: true, regexes_to_ignore: [',', '\\$', '(?s).*#### ', '\\.$'] })
    expect(gsm8k('$1,200.', ['long\nway #### 1200'])).toBe(1)
    expect(gsm8k('1201', ['#### 1200'])).toBe(0)
    expect(exactMatch({})('Yes', ['yes'])).toBe(0)
    expect(exactMatch({ ignore_case: true, ignore_punctuation: true })('Yes!', ['no', 'y[es'])).toBe(1)
    expect(exactMatch({ ignore_numbers: true })('a1', ['a22'])).toBe(1)
    expect(exactMatch({})(null, ['a'])).toBe(0)
  })
})
