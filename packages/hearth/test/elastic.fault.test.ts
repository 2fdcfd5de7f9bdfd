// Workers that cannot be replaced, and workers that are slow, in real runs: the run goes on, with the same bits.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readEvents, resolveConfig, runPaths, startRun, type RunOptions } from 'hearth/train'

const root = mkdtempSync(join(tmpdir(), 'hearth-elastic-'))
const texts = join(root, 'texts.txt')
const SLOW = 180_000

const model = {
  preset: 'spark',
  config: {
    hidden_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 64,
  },
}
const config = (name: string, steps: number) =>
  resolveConfig({
    ...{ name, steps, batch: 4, slots: 2, sequenceLength: 16, dtype: 'float32', model },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0 },
    optimizer: { learningRate: 1e-3 },
    schedule: { warmupSteps: 3 },
    every: { log: 100, evaluate: 10_000, checkpoint: 10_000 },
  })

const weightsHash = (dir: string) =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'model/model.safetensors')))
    .digest('hex')
const kindsOf = (dir: string) => readEvents(runPaths(dir).events)

/** It may have ended by itself a moment ago. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  writeFileSync(texts, Array.from({ length: 6000 }, (_, i) => words[(i * i * 3 + i) % words.length]).join(' '))
})
afterAll(() => rmSync(root, { recursive: true }))

test(
  'a worker that is lost again and again is gone on without, and comes back when it can',
  async () => {
    const steps = 1500
    const dir = join(root, 'fewer')
    let crew: Parameters<NonNullable<NonNullable<RunOptions['drill']>['onCrew']>>[0] | undefined
    let rested = false
    const killer = setInterval(() => {
      if (rested) return
      for (const { place, pid } of crew?.processes ?? []) if (place === 1) killIfThere(pid)
    }, 20)
    try {
      await startRun(config('fewer', steps), {
        ...{ dir, workers: 2, minWorkers: 1 },
        report: (event) => {
          if (event.kind === 'trouble' && event.event.kind === 'worker-resting') rested = true
        },
        drill: { onCrew: (given) => (crew = given), patience: { restSeconds: 0.5 } },
      })
    } finally {
      clearInterval(killer)
    }
    const events = kindsOf(dir)
    const rest = events.findIndex(({ kind }) => kind === 'worker-resting')
    expect(events[rest]).toMatchObject({ worker: 1, seconds: 0.5 })
    expect(events.slice(rest)).toContainEqual(expect.objectContaining({ kind: 'worker-started', worker: 1 }))
    const calm = join(root, 'calm')
    await startRun(config('calm', steps), { dir: calm })
    expect(weightsHash(dir)).toBe(weightsHash(calm))
  },
  SLOW,
)

test(
  'a slow worker is named by its share of a step, and replaced when asked',
  async () => {
    const dir = join(root, 'slow')
    let crew: Parameters<NonNullable<NonNullable<RunOptions['drill']>['onCrew']>>[0] | undefined
    await startRun(config('slow', 200), {
      ...{ dir, workers: 2, replaceSlow: true },
      report: (event) => {
        // More than once: on a busy machine the first may be replaced for a slowness of its own.
        if (event.kind === 'step' && [10, 20, 30].includes(event.step.number))
          crew!.inject(1, { kind: 'drag', seconds: 0.2 })
      },
      drill: { onCrew: (given) => (crew = given) },
    })
    const events = kindsOf(dir)
    const slow = events.filter((event) => event.kind === 'worker-slow' && event.worker === 1)
    expect(slow.map((event) => (event as { seconds: number }).seconds).some((seconds) => seconds > 0.2)).toBe(true)
    const lost = events.find((event) => event.kind === 'worker-lost' && event.worker === 1)
    expect(lost).toMatchObject({ reason: expect.stringMatching(/times as slow as the others/) as string })
  },
  SLOW,
)

test('fewer workers that are enough than there are is a mistake that is found before the run is made', async () => {
  const options = { dir: join(root, 'wrong'), workers: 2, minWorkers: 3 }
  await expect(startRun(config('wrong', 5), options)).rejects.toThrow(/3 are to be enough, but there are 2 workers/)
})

test(
  'a process for checkpoints that ends again and again costs checkpoints, and not the run',
  async () => {
    const dir = join(root, 'unsaved')
    let crew: Parameters<NonNullable<NonNullable<RunOptions['drill']>['onCrew']>>[0] | undefined
    const refused: string[] = []
    const saved: number[] = []
    const killer = setInterval(() => {
      if (refused.length < 1) for (const { pid } of crew?.saver.processes ?? []) killIfThere(pid)
    }, 20)
    try {
      await startRun(
        { ...config('unsaved', 500), every: { ...config('unsaved', 500).every, checkpoint: 100 } },
        {
          ...{ dir, workers: 1 },
          report: (event) => {
            if (event.kind === 'warning') refused.push(event.message)
            if (event.kind === 'checkpoint') saved.push(event.step)
          },
          drill: { onCrew: (given) => (crew = given) },
        },
      )
    } finally {
      clearInterval(killer)
    }
    expect(refused[0]).toMatch(/checkpoint of step \d+ was not saved: 3 workers in a row did not start/)
    expect(saved.at(-1)).toBe(500)
  },
  SLOW,
)
