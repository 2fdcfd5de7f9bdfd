// Numbers that go wrong, in real runs: batches that give NaN, or a loss spike, each time they are trained on. What such
// a run does is a function of the data alone: in this process, by workers, stopped, killed, the weights have the same bits.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  readEvents,
  readMetrics,
  resolveConfig,
  resumeRun,
  runPaths,
  startRun,
  type RunConfigInput,
  type RunOptions,
  type RunTrouble,
} from 'hearth/train'

const root = mkdtempSync(join(tmpdir(), 'hearth-numbers-'))
const texts = join(root, 'texts.txt')
const STEPS = 40
const SLOW = 120_000

beforeAll(() => {
  const words = 'the a fire log ash ember spark burns glows falls warm cold night morning and'.split(' ')
  writeFileSync(texts, Array.from({ length: 6000 }, (_, i) => words[(i * i * 3 + i) % words.length]).join(' '))
})
afterAll(() => rmSync(root, { recursive: true }))

const sizes = {
  hidden_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 64,
}

const config = (name: string, changes: Partial<RunConfigInput> = {}) =>
  resolveConfig({
    ...{ name, steps: STEPS, batch: 4, slots: 2, sequenceLength: 16, dtype: 'float32' },
    model: { preset: 'spark', config: sizes },
    tokenizer: { vocabularySize: 300 },
    data: { sources: [{ path: texts }], heldOutFraction: 0 },
    optimizer: { learningRate: 1e-3 },
    schedule: { warmupSteps: 3 },
    every: { log: 1, evaluate: 1000, checkpoint: 10 },
    guard: { window: 8, skipBatches: 4, calmSteps: 8 },
    ...changes,
  })

type Poison = NonNullable<NonNullable<RunOptions['drill']>['poison']>

const weightsHash = (dir: string) =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'model/model.safetensors')))
    .digest('hex')

/** What happened to the numbers of a run. */
const troublesOf = (dir: string) =>
  readEvents(runPaths(dir).events).filter(
    (event): event is Extract<RunTrouble, { kind: 'refused' | 'rewound' }> & { time: string } =>
      event.kind === 'refused' || event.kind === 'rewound',
  )

/** The same run in this process, by one and by two workers; stopped in the middle and resumed. */
async function everyWay(name: string, poison: Poison): Promise<string[]> {
  const drill = { poison, patience: { deadlines: { minimumSeconds: 30 } } }
  const ways: Record<string, RunOptions> = { alone: {}, one: { workers: 1 }, two: { workers: 2 } }
  const dirs: string[] = []
  for (const [way, options] of Object.entries(ways)) {
    const dir = join(root, `${name}-${way}`)
    await startRun(config(`${name}-${way}`), { dir, ...options, drill })
    dirs.push(dir)
  }
  for (const stopAt of [14, 26]) {
    const dir = join(root, `${name}-stopped-${stopAt}`)
    const stop = new AbortController()
    const report: RunOptions['report'] = (event) => {
      if (event.kind === 'step' && event.step.number === stopAt) stop.abort()
    }
    await startRun(config(`${name}-stopped-${stopAt}`), { dir, drill, report, signal: stop.signal })
    await resumeRun(dir, { drill })
    dirs.push(dir)
  }
  return dirs
}

describe('however it is trained, a run', () => {
  test(
    'leaves out the batch that gives NaN twice, and ends with the same bits',
    async () => {
      const dirs = await everyWay('nan', { nan: [7, 21] })
      expect(new Set(dirs.map(weightsHash)).size).toBe(1)
      for (const dir of dirs)
        expect(troublesOf(dir)).toMatchObject([
          { kind: 'refused', step: 8, batch: 7, action: 'again' },
          { kind: 'refused', step: 8, batch: 7, action: 'skip' },
          { kind: 'refused', step: 21, batch: 21, action: 'again' },
          { kind: 'refused', step: 21, batch: 21, action: 'skip' },
        ])
    },
    SLOW,
  )

  test(
    'leaves out a batch with a loss spike, and ends with the same bits',
    async () => {
      const dirs = await everyWay('spike', { spike: [17] })
      expect(new Set(dirs.map(weightsHash)).size).toBe(1)
      for (const dir of dirs) {
        expect(troublesOf(dir)).toMatchObject([
          { step: 18, batch: 17, action: 'again' },
          { step: 18, batch: 17, action: 'skip' },
        ])
        expect(troublesOf(dir)[0]!.reason).toMatch(/deviations above the last 8/)
      }
    },
    SLOW,
  )

  test(
    'goes back before three poisoned batches in a row, leaves the stretch out, and ends with the same bits',
    async () => {
      const dirs = await everyWay('stretch', { nan: [23, 24, 25] })
      expect(new Set(dirs.map(weightsHash)).size).toBe(1)
      for (const dir of dirs) {
        expect(troublesOf(dir).at(-1)).toMatchObject({ kind: 'rewound', to: 20, skipped: [20, 26] })
        const { steps } = readMetrics(runPaths(dir).metrics)
        expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1))
      }
    },
    SLOW,
  )

  test(
    'that meets trouble again soon after going back marks that checkpoint bad, and uses the one before',
    async () => {
      const dirs = await everyWay('bad', { nan: [23, 24, 25, 28, 29, 30] })
      expect(new Set(dirs.map(weightsHash)).size).toBe(1)
      for (const dir of dirs) {
        const rewound = troublesOf(dir).filter(({ kind }) => kind === 'rewound')
        expect(rewound).toMatchObject([
          { to: 20, skipped: [20, 26] },
          { to: 10, bad: 20, skipped: [10, 31] },
        ])
      }
    },
    SLOW,
  )
})

test(
  'a rewind whose checkpoint is gone does the steps since the one before again, to the same bits',
  async () => {
    const poison = { nan: [23, 24, 25] }
    const dir = join(root, 'gone')
    const stop = new AbortController()
    const report: RunOptions['report'] = (event) => {
      if (event.kind === 'step' && event.step.number === 22) stop.abort()
    }
    await startRun(config('gone'), { dir, drill: { poison }, report, signal: stop.signal })
    rmSync(join(runPaths(dir).checkpoints, 'step-00000020'), { recursive: true })
    await resumeRun(dir, { drill: { poison } })
    expect(troublesOf(dir).at(-1)).toMatchObject({ kind: 'rewound', to: 20, from: 10 })
    const whole = join(root, 'not-gone')
    await startRun(config('not-gone'), { dir: whole, drill: { poison } })
    expect(weightsHash(dir)).toBe(weightsHash(whole))
  },
  SLOW,
)

test(
  'a run that diverges for good ends with a diagnosis, and keeps its checkpoints',
  async () => {
    const nan = Array.from({ length: 400 }, (_, i) => i + 15)
    for (const workers of [undefined, 2]) {
      const dir = join(root, `diverges-${workers ?? 0}`)
      const options = { dir, drill: { poison: { nan } }, ...(workers !== undefined && { workers }) }
      await expect(startRun(config(`diverges-${workers ?? 0}`), options)).rejects.toThrow(
        /training cannot go on at step \d+: .*not finite.* after the run went back 3 times.*\n {2}remedy: .*learning rate/,
      )
      const rewound = troublesOf(dir).filter(({ kind }) => kind === 'rewound')
      expect(rewound).toMatchObject([{ to: 10 }, { to: 0, bad: 10 }, { to: 0 }])
      expect(existsSync(join(dir, 'model'))).toBe(false)
      expect(readdirSync(runPaths(dir).checkpoints).some((name) => /^step-\d+(-\d+)?$/.test(name))).toBe(true)
      expect(troublesOf(dir).at(-1)).toMatchObject({ kind: 'refused', action: 'give up' })
    }
  },
  SLOW,
)
