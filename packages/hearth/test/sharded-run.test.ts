// Runs over ranks as their users meet them: processes with shards, stopped and resumed with another number of them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '@hearth/torch'
import {
  loadCheckpointModel,
  readEvents,
  readMetrics,
  resumeRun,
  runPaths,
  startRun,
  type RunEvent,
  type RunOptions,
} from 'hearth/train'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { modelHash, STEPS, tinyConfig, writeTexts } from './sharded-config.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-sharded-'))
const texts = writeTexts(root)
afterAll(() => rmSync(root, { recursive: true }))

const everything = { ranks: 2, sharding: 'everything', offload: 'memory' } as const

/** Starts a run and stops it once `step` steps are done. */
async function stoppedAt(name: string, step: number, options: RunOptions): Promise<string> {
  const stop = new AbortController()
  const dir = join(root, name)
  const report = (event: RunEvent) => {
    if (event.kind === 'step' && event.step.number === step) stop.abort()
  }
  const result = await startRun(tinyConfig(name, texts), { ...options, dir, signal: stop.signal, report })
  expect(result).toMatchObject({ stopped: true, step })
  return dir
}

describe('a run over ranks', () => {
  let plain: string
  beforeAll(async () => {
    plain = join(root, 'plain')
    await startRun(tinyConfig('plain', texts, { activationCheckpointing: true }), { dir: plain })
  })

  test('ends with the bits, and measures the losses, of a run in one process', async () => {
    const dir = join(root, 'two')
    const result = await startRun(tinyConfig('two', texts), { dir, ranks: everything })
    expect(result).toMatchObject({ step: STEPS, stopped: false })
    expect(modelHash(dir)).toBe(modelHash(plain))
    const losses = (of: string) => readMetrics(runPaths(of).metrics).steps.map(({ step, loss }) => [step, loss])
    expect(losses(dir)).toEqual(losses(plain))
    expect(result.heldOut!.loss).toBeGreaterThan(0)
  })

  test('is stopped and resumed with other ranks, and in one process, with the same bits', async () => {
    const dir = await stoppedAt('changing', 3, { ranks: everything })
    const opened = await loadCheckpointModel(dir, { onRefused: () => expect.unreachable() })
    expect(opened!.step).toBe(3)
    const stop = new AbortController()
    const report = (event: RunEvent) => {
      if (event.kind === 'step' && event.step.number === 6) stop.abort()
    }
    const ranks = { ranks: 4, sharding: 'gradients', offload: 'disk' } as const
    await resumeRun(dir, { ranks, report, signal: stop.signal })
    const last = await resumeRun(dir)
    expect(last).toMatchObject({ step: STEPS, stopped: false })
    expect(modelHash(dir)).toBe(modelHash(plain))
  })

  test('goes back to a checkpoint and leaves out batches where one process does, with the same bits', async () => {
    const bad = { drill: { poison: { nan: [6, 7, 8, 9] } } }
    const guard = { rewindAfter: 3, skipBatches: 4 }
    const alone = join(root, 'alone')
    await startRun(tinyConfig('alone', texts, { guard }), { dir: alone, ...bad })
    const dir = join(root, 'back')
    await startRun(tinyConfig('back', texts, { guard }), { dir, ...bad, ranks: everything })
    const told = (of: string) =>
      readEvents(runPaths(of).events)
        .filter(({ kind }) => kind === 'rewound' || kind === 'refused')
        .map(({ time, ...event }) => (expect(time).toBeTruthy(), event))
    expect(told(dir)).toEqual(told(alone))
    expect(told(dir).map(({ kind }) => kind)).toContain('rewound')
    expect(modelHash(dir)).toBe(modelHash(alone))
    expect(modelHash(dir)).not.toBe(modelHash(plain))
  })

  test('that cannot be is refused before there is a folder, with all reasons', async () => {
    const config = tinyConfig('never', texts, { optimizer: { name: 'muon', learningRate: 1e-3 } })
    const ranks = { ranks: 3, sharding: 'everything', offload: 'memory' } as const
    const started = startRun(config, { dir: join(root, 'never'), ranks })
    await expect(started).rejects.toThrow(
      /3 cannot share 4 gradient slots.*choose 1, 2, 4[\s\S]*muon needs whole matrices/,
    )
    await expect(started).rejects.toBeInstanceOf(ConfigError)
    const both = startRun(tinyConfig('never', texts), { dir: join(root, 'never'), ranks: everything, workers: 2 })
    await expect(both).rejects.toThrow(/either workers.*or ranks/)
  })
})
