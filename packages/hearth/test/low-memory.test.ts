// What saves memory in training, and what it may change: nothing, where updates move into the backward pass; rounding by
// chance, where weights are bfloat16 alone.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { call, full, Generator, randn, setNumThreads, tensor, type Tensor } from '@hearth/torch'
import { readMetrics, resolveConfig, resumeRun, runPaths, startRun, type RunOptions } from 'hearth/train'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadModel } from '../src/formats/index.js'
import { leavesOf } from '../src/tree/index.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-low-memory-'))
const texts = join(root, 'texts.jsonl')
const STEPS = 6

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  const text = (row: number) =>
    Array.from({ length: 60 }, (_, i) => words[(row * 7 + i * i * 3) % words.length]).join(' ')
  writeFileSync(texts, Array.from({ length: 80 }, (_, row) => JSON.stringify({ text: text(row) })).join('\n'))
})
afterAll(() => rmSync(root, { recursive: true }))

function config(name: string, more: object = {}, optimizer: object = {}) {
  const heads = { num_attention_heads: 2, num_key_value_heads: 1, tie_word_embeddings: name.includes('tied') }
  return resolveConfig({
    ...{ name, steps: STEPS, batch: 4, sequenceLength: 16, activationCheckpointing: true },
    model: { preset: 'spark', config: { hidden_size: 64, num_hidden_layers: 2, intermediate_size: 128, ...heads } },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0.2 },
    optimizer: { learningRate: 3e-3, moments: '8bit', ...optimizer },
    schedule: { kind: 'cosine', warmupSteps: 2 },
    every: { log: 1, evaluate: STEPS, checkpoint: 2 },
    ...more,
  })
}

/** Runs it as a whole, or stopped and resumed, and gives the hash of the weights that it ends with. */
async function weightsOf(given: ReturnType<typeof config>, stopAt?: number): Promise<string> {
  const dir = join(root, given.name)
  const stop = new AbortController()
  const report: RunOptions['report'] = (event) => event.kind === 'step' && event.step.number === stopAt && stop.abort()
  const { stopped } = await startRun(given, { dir, report, signal: stop.signal })
  expect(stopped).toBe(stopAt !== undefined)
  if (stopped) await resumeRun(dir)
  return createHash('sha256')
    .update(readFileSync(join(runPaths(dir).model, 'model.safetensors')))
    .digest('hex')
}

const lossesOf = (name: string) => readMetrics(join(root, name, 'metrics.jsonl')).steps.map(({ loss }) => loss)

test.each([
  ['tied', { clip: 1 }],
  ['own-head', { clip: 0.5 }],
  ['tied-unclipped', { clip: 0 }],
])('updates in the backward pass have the bits of updates after it: %s', async (name, optimizer) => {
  const guard = { spikeDeviations: 0 }
  const after = await weightsOf(config(`${name}-after`, { guard, dtype: 'float32' }, optimizer))
  const within = config(`${name}-within`, { guard, dtype: 'float32', updateInBackward: true }, optimizer)
  expect(await weightsOf(within, 3)).toBe(after)
  expect(lossesOf(`${name}-within`)).toEqual(lossesOf(`${name}-after`))
})

test('a run of bfloat16 weights learns, keeps them so in checkpoints, and resumes with the same bits', async () => {
  const whole = await weightsOf(config('halves', { weights: 'bfloat16', updateInBackward: true }))
  expect(await weightsOf(config('halves-stopped', { weights: 'bfloat16' }), 3)).toBe(whole)
  const model = loadModel(runPaths(join(root, 'halves')).model)
  expect(new Set(leavesOf(model.weights).map(({ dtype }) => dtype))).toEqual(new Set(['bfloat16']))
  const [first, last] = [lossesOf('halves')[0]!, lossesOf('halves').at(-1)!]
  expect(last).toBeLessThan(first - 0.1)
})

test('what cannot be together is refused at once', async () => {
  const wrong = {
    weights: 'bfloat16',
    dtype: 'float32',
    updateInBackward: true,
    slots: 2,
    activationCheckpointing: false,
  }
  expect(() => config('wrong', wrong, { clip: 0 })).toThrow(
    /weights[^]*needs activationCheckpointing=true[^]*slots=2[^]*guard\.spikeDeviations=0/,
  )
  const alone = startRun(config('alone', { weights: 'bfloat16', slots: 2 }), { dir: join(root, 'alone'), workers: 2 })
  await expect(alone).rejects.toThrow(/weights: is for a run in one process/)
})

const rounded = (wide: Tensor, seed: number) => {
  const out = full(wide.shape, 0, { dtype: 'bfloat16' })
  call('hearth::round_stochastically_', out, wide, seed)
  return out
}

test('rounding goes to a neighbour, on average nowhere, and depends on the seed and not on threads', () => {
  const step = 2 ** -7
  const many = full([40_000], 1 + step / 8, { dtype: 'float32' })
  const one = rounded(many, 5)
  const values = one.to('float32').toArray()
  expect(new Set(values)).toEqual(new Set([1, 1 + step]))
  // An eighth of them go up: 5000, with a standard deviation of 66.
  expect(Math.abs(values.filter((x) => x > 1).length - 5000)).toBeLessThan(4 * 66)
  setNumThreads(2)
  expect(rounded(many, 5).toArray()).toEqual(one.toArray())
  setNumThreads(1)
  expect(rounded(many, 6).toArray()).not.toEqual(one.toArray())
  const exact = randn([100], { generator: new Generator(1) }).to('bfloat16')
  expect(rounded(exact.to('float32'), 1).toArray()).toEqual(exact.toArray())
  expect(rounded(tensor([Infinity, -Infinity, NaN, -1]), 1).toArray()).toEqual([Infinity, -Infinity, NaN, -1])
})
