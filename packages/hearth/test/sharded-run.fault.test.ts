// Ranks that are killed or stand still: another process maps the shard, at most the step at hand is done again, and the
// bits are those of a run that nothing happened to.
import { fork } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readEvents, resumeRun, runPaths, SHARDINGS, startRun, type RunEvent, type RunOptions } from 'hearth/train'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { modelHash, STEPS, tinyConfig, writeTexts } from './sharded-config.js'

const root = mkdtempSync(join(tmpdir(), 'hearth-ranks-fault-'))
const texts = writeTexts(root)
let expected: string
beforeAll(async () => {
  const dir = join(root, 'undisturbed')
  await startRun(tinyConfig('undisturbed', texts), { dir })
  expected = modelHash(dir)
})
afterAll(() => rmSync(root, { recursive: true }))

type Ranks = Parameters<NonNullable<NonNullable<RunOptions['rankDrill']>['onRanks']>>[0]

/** Trains with faults by step; gives the steps as they were reported. */
async function disturbed(
  name: string,
  options: Pick<RunOptions, 'ranks' | 'rankDrill'>,
  faults: Record<number, (ranks: Ranks) => void>,
  hashEvery = 100,
): Promise<number[]> {
  let ranks: Ranks
  const steps: number[] = []
  const report = (event: RunEvent) => {
    if (event.kind !== 'step') return
    steps.push(event.step.number)
    faults[event.step.number]?.(ranks)
  }
  const rankDrill = { ...options.rankDrill, onRanks: (started: Ranks) => (ranks = started) }
  await startRun(tinyConfig(name, texts, { guard: { hashEvery } }), {
    dir: join(root, name),
    ...options,
    rankDrill,
    report,
  })
  return steps
}

const kill = (rank: number, afterMilliseconds: number) => (ranks: Ranks) =>
  void setTimeout(() => process.kill(ranks.processes[rank]!.pid, 'SIGKILL'), afterMilliseconds)

const ALL_STEPS = Array.from({ length: STEPS }, (_, i) => i + 1)

test.each(SHARDINGS)('killed ranks cost no step and no bit with sharding %s', async (sharding) => {
  const name = `killed-${sharding}`
  const ranks = { ranks: 2, sharding, offload: 'memory' } as const
  const steps = await disturbed(name, { ranks }, { 2: kill(1, 3), 5: kill(0, 10), 7: kill(1, 0) })
  expect(steps).toEqual(ALL_STEPS)
  expect(modelHash(join(root, name))).toBe(expected)
  const lost = readEvents(runPaths(join(root, name)).events).filter(({ kind }) => kind === 'worker-lost')
  expect(lost.map((event) => 'worker' in event && event.worker)).toEqual([1, 0, 1])
})

test('ranks go on while a checkpoint is written, and no further than its state stays', async () => {
  const ranks = { ranks: 2, sharding: 'everything', offload: 'memory' } as const
  const tell = (signal: 'SIGSTOP' | 'SIGCONT') => (ranks: Ranks) =>
    ranks.saver.processes.forEach(({ pid }) => process.kill(pid, signal))
  const told: (string | number)[] = []
  const dir = join(root, 'saving')
  let group: Ranks
  const report = (event: RunEvent) => {
    if (event.kind === 'checkpoint') told.push(`saved ${event.step}`)
    if (event.kind !== 'step') return
    told.push(event.step.number)
    // The first checkpoint is of step 4. That step 6 can be done must show that it is written.
    if (event.step.number === 4) tell('SIGSTOP')(group)
    if (event.step.number === 5) setTimeout(() => tell('SIGCONT')(group), 500)
  }
  await startRun(tinyConfig('saving', texts), { dir, ranks, report, rankDrill: { onRanks: (made) => (group = made) } })
  expect(told.slice(3, 7)).toEqual([4, 5, 'saved 4', 6])
  expect(modelHash(dir)).toBe(expected)
})

test('a bit that flips in the shard of a rank is found, by name, and the step done again; else by a checkpoint', async () => {
  const flipped: string[] = []
  const flips = [
    { step: 2, rank: 1, healedBy: 'the step again' },
    // While it is copied to a checkpoint, or before.
    { step: 4, rank: 0, healedBy: 'the step again' },
    // That of step 8 is written by then: it lies in the bank of step 10.
    { step: 10, rank: 1, healedBy: 'a checkpoint' },
  ]
  const flip = (at: (typeof flips)[number]) => (ranks: Ranks) => {
    if (flipped.length > flips.indexOf(at)) return
    flipped.push(`${ranks.flipBit(at.rank, 7919 * at.step)} of rank ${at.rank}`)
    if (at.healedBy === 'a checkpoint') ranks.flipBit(at.rank, 104_729, 'before')
  }
  const ranks = { ranks: 2, sharding: 'optimizer', offload: 'memory' } as const
  const faults = Object.fromEntries(flips.map((at) => [at.step, flip(at)]))
  const steps = await disturbed('flips', { ranks }, faults, 1)
  expect(steps).toEqual([...ALL_STEPS, 9, 10])
  expect(modelHash(join(root, 'flips'))).toBe(expected)
  const found = readEvents(runPaths(join(root, 'flips')).events).filter(({ kind }) => kind === 'corrupt')
  expect(found).toMatchObject(flips.map(({ step, healedBy }, i) => ({ step, tensors: [flipped[i]], healedBy })))
})

test('all ranks killed at once map their shards from disk and go on', async () => {
  const ranks = { ranks: 4, sharding: 'everything', offload: 'disk' } as const
  const all = (ranks: Ranks) => ranks.processes.forEach(({ pid }) => process.kill(pid, 'SIGKILL'))
  expect(await disturbed('all', { ranks }, { 3: all })).toEqual(ALL_STEPS)
  expect(modelHash(join(root, 'all'))).toBe(expected)
})

test('a rank that stands still is noticed by what a step usually takes, named, and replaced', async () => {
  const ranks = { ranks: 2, sharding: 'optimizer', offload: 'memory' } as const
  let stopped = 0
  const stop = (ranks: Ranks) => {
    process.kill(ranks.processes[1]!.pid, 'SIGSTOP')
    stopped = Date.now()
  }
  // Nothing but the deadline that is learned: an operation may take two minutes.
  expect(await disturbed('still', { ranks }, { 5: stop })).toEqual(ALL_STEPS)
  expect(modelHash(join(root, 'still'))).toBe(expected)
  const lost = readEvents(runPaths(join(root, 'still')).events).filter(({ kind }) => kind === 'worker-lost')
  const reason = expect.stringMatching(/kept the others waiting: (attempt|commit) takes longer than/) as string
  expect(lost).toMatchObject([{ worker: 1, reason }])
  expect((Date.parse(lost[0]!.time) - stopped) / 1000).toBeLessThan(30)
})

test('a run whose every process was killed goes on from the shards, ahead of its checkpoint', async () => {
  const dir = join(root, 'gone')
  const program = new URL('sharded-run-until-killed.ts', import.meta.url)
  const child = fork(program, [dir, texts], { execArgv: ['--import', 'tsx'], stdio: 'inherit' })
  await new Promise((resolve) => child.on('exit', resolve))
  expect(child.signalCode).toBe('SIGKILL')
  expect(existsSync(runPaths(dir).model)).toBe(false)
  const steps: number[] = []
  await resumeRun(dir, { report: (event) => event.kind === 'step' && steps.push(event.step.number) })
  // It is killed after step 6; the newest checkpoint is of step 4.
  expect(steps[0]).toBeGreaterThanOrEqual(7)
  expect(modelHash(dir)).toBe(expected)
})
