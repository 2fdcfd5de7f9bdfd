// Memory that flips a bit of the committed state between two steps: it is noticed, named and healed, to the same bits.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readEvents, resolveConfig, runPaths, startRun, type RunOptions } from 'hearth/train'

const root = mkdtempSync(join(tmpdir(), 'hearth-flips-'))
const texts = join(root, 'texts.txt')
const FLIPS = [7, 8, 15, 23]
const sizes = { hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1 }

const config = (name: string, hashEvery: number) =>
  resolveConfig({
    ...{ name, steps: 30, batch: 4, slots: 2, sequenceLength: 16, dtype: 'float32' },
    model: { preset: 'spark', config: { ...sizes, intermediate_size: 64 } },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0 },
    optimizer: { learningRate: 1e-3 },
    schedule: { warmupSteps: 3 },
    every: { log: 1, evaluate: 1000, checkpoint: 10 },
    guard: { hashEvery },
  })

const weightsHash = (dir: string) =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'model/model.safetensors')))
    .digest('hex')

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  writeFileSync(texts, Array.from({ length: 6000 }, (_, i) => words[(i * i * 3 + i) % words.length]).join(' '))
})
afterAll(() => rmSync(root, { recursive: true }))

/** Trains while bits flip after some steps; gives the names of their tensors. */
async function withFlips(name: string, workers: number, hashEvery: number): Promise<string[]> {
  let crew: Parameters<NonNullable<NonNullable<RunOptions['drill']>['onCrew']>>[0] | undefined
  const flipped: string[] = []
  await startRun(config(name, hashEvery), {
    ...{ dir: join(root, name), workers },
    report: (event) => {
      if (event.kind === 'step' && FLIPS[flipped.length] === event.step.number)
        flipped.push(crew!.flipBit(7919 * event.step.number))
    },
    drill: { onCrew: (given) => (crew = given) },
  })
  return flipped
}

test.each([1, 2])(
  'a bit that flips is found before the next of %i workers reads it, by the name of its tensor; the step is done again',
  async (workers) => {
    const flipped = await withFlips(`flips-${workers}`, workers, 1)
    const found = readEvents(runPaths(join(root, `flips-${workers}`)).events).filter(({ kind }) => kind === 'corrupt')
    expect(found).toMatchObject(FLIPS.map((step, i) => ({ step, tensors: [flipped[i]], healedBy: 'the step again' })))
    const calm = join(root, `calm-${workers}`)
    await startRun(config(`calm-${workers}`, 1), { dir: calm, workers })
    expect(weightsHash(join(root, `flips-${workers}`))).toBe(weightsHash(calm))
  },
  120_000,
)

test('a bit that flips in the bank that the step was made from as well is healed by a checkpoint', async () => {
  let crew: Parameters<NonNullable<NonNullable<RunOptions['drill']>['onCrew']>>[0] | undefined
  const dir = join(root, 'both')
  let flips = 0
  await startRun(config('both', 2), {
    ...{ dir, workers: 2 },
    // The bank of step 13 is not hashed: what is made from it looks right, until it is made again from another state.
    report: (event) => {
      if (event.kind !== 'step' || flips > 0 || event.step.number !== 14) return
      flips++
      crew!.flipBit(7919)
      crew!.flipBitBefore(104_729)
    },
    drill: { onCrew: (given) => (crew = given) },
  })
  const found = readEvents(runPaths(dir).events).filter(({ kind }) => kind === 'corrupt')
  expect(found).toMatchObject([{ step: 14, healedBy: 'a checkpoint' }])
  const calm = join(root, 'calm-both')
  await startRun(config('calm-both', 2), { dir: calm })
  expect(weightsHash(dir)).toBe(weightsHash(calm))
}, 120_000)
