import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { FormatError, HearthError } from '@hearth/torch'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lockFolder } from './run-folder-lock.js'
import type { LockHolder } from './run-folder-lock.js'
import { listRuns } from './run-folder-list.js'
import { createRun, openRun, readRun, readStatus } from './run-folder.js'

let root: string
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'hearth-runs-'))))
afterEach(() => rmSync(root, { recursive: true }))

const config = { steps: 100, name: 'spark' }
const never = () => expect.unreachable('the disk is fine')
const logOptions = { afterStep: 0, flopConvention: '6N', onProblem: never }
const measured = { loss: 2.5, learningRate: 1e-3, gradientNorm: 1, tokensPerSecond: 900, memoryBytes: 1e9 }
const locks = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.lock'))

describe('a run folder', () => {
  test('keeps the resolved configuration and the versions that made it', () => {
    const run = createRun(join(root, 'deep', 'spark'), { config })
    run.close()
    const record = readRun<typeof config>(run.folder)
    expect(record.config).toEqual(config)
    expect(record.versions).toMatchObject({ hearth: '0.1.0', node: process.version })
    expect(record.versions.libtorch).toMatch(/^\d+\.\d+/)
  })

  test('holds metrics, event files, samples and nothing of the lock once closed', () => {
    using run = createRun(join(root, 'spark'), { config })
    const log = run.log(logOptions)
    log.write({ step: 1, ...measured })
    log.close()
    expect(run.saveSample(1, 'Call me\n')).toBe(join(run.folder, 'samples', 'step-00000001.txt'))
    run.close()
    expect(readdirSync(run.folder).sort()).toEqual([
      'config.json',
      'metrics.jsonl',
      'samples',
      'status.json',
      'tensorboard',
    ])
  })

  test('that exists is refused, and the way to go on with it is named', () => {
    createRun(join(root, 'spark'), { config }).close()
    const again = () => createRun(join(root, 'spark'), { config: { steps: 7 } })
    expect(again).toThrow(HearthError)
    expect(again).toThrow(/holds a run already\n.*hearth resume .*spark; or give the new run another name/)
    expect(readRun(join(root, 'spark')).config).toEqual(config)
    expect(locks(join(root, 'spark'))).toEqual([])
  })

  test('that holds something else is refused and left alone; an empty one is taken', () => {
    mkdirSync(join(root, 'mine'))
    writeFileSync(join(root, 'mine', 'thesis.txt'), 'text')
    expect(() => createRun(join(root, 'mine'), { config })).toThrow(/exists and is not empty/)
    expect(readdirSync(join(root, 'mine'))).toEqual(['thesis.txt'])
    mkdirSync(join(root, 'empty'))
    createRun(join(root, 'empty'), { config }).close()
  })

  test('in the place of a file is refused', () => {
    writeFileSync(join(root, 'file'), '')
    expect(() => createRun(join(root, 'file'), { config })).toThrow(/cannot be made/)
    expect(() => createRun(join(root, 'file', 'below'), { config })).toThrow(HearthError)
  })

  test('that is none, or is damaged, is said to be so', () => {
    expect(() => openRun(root)).toThrow(/is not a run: it has no config\.json/)
    for (const text of ['', '{', 'null', '{}', '{"format":"hearth-run","config":null}']) {
      writeFileSync(join(root, 'config.json'), text)
      expect(() => openRun(root)).toThrow(FormatError)
    }
    expect(readdirSync(root)).toEqual(['config.json'])
  })

  test('goes on where it was: the curve of a resumed run has every step once', () => {
    const first = createRun(join(root, 'spark'), { config })
    const log = first.log(logOptions)
    for (let step = 1; step <= 9; step++) log.write({ step, ...measured })
    log.close()
    first.close()
    const second = openRun<typeof config>(join(root, 'spark'))
    expect(second.config).toEqual(config)
    using resumed = second.log({ ...logOptions, afterStep: 5 })
    resumed.write({ step: 6, ...measured })
    expect(listRuns(root)[0]?.step).toBe(6)
    expect(readFileSync(second.paths.metrics, 'utf8').trimEnd().split('\n')).toHaveLength(7)
    expect(readdirSync(second.paths.tensorboard)).toHaveLength(2)
    second.close()
  })
})

describe('the lock of a run folder', () => {
  /** A lock file as another process would have left it. */
  function leaveLock(folder: string, holder: Partial<LockHolder>, name = 'training-x-1.lock'): void {
    const unlock = lockFolder(folder)
    const [mine] = locks(folder)
    const text = readFileSync(join(folder, mine!), 'utf8')
    unlock()
    writeFileSync(join(folder, name), JSON.stringify({ ...(JSON.parse(text) as LockHolder), ...holder }))
  }

  test('keeps a second trainer out, also in the same process', () => {
    const run = createRun(join(root, 'spark'), { config })
    expect(() => openRun(run.folder)).toThrow(/this process has been training in .*spark since/)
    expect(listRuns(root)[0]?.state).toBe('running')
    run.close()
    run.close()
    openRun(run.folder).close()
  })

  test('keeps out while another process lives, and is taken over when that one is gone', async () => {
    createRun(join(root, 'spark'), { config }).close()
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    await once(other, 'spawn')
    const stat = readFileSync(`/proc/${other.pid}/stat`, 'utf8')
    const processStart = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!
    leaveLock(join(root, 'spark'), { pid: other.pid!, processStart })
    expect(() => openRun(join(root, 'spark'))).toThrow(
      new RegExp(`process ${other.pid} has been .*\n.*kill ${other.pid}`),
    )
    other.kill('SIGKILL')
    await once(other, 'exit')
    const run = openRun(join(root, 'spark'))
    expect(locks(run.folder)).toHaveLength(1)
    run.close()
  })

  test('is stale when its number now belongs to a process that started at another time', () => {
    leaveLock(root, { pid: process.ppid, processStart: '1' })
    lockFolder(root)()
    expect(locks(root)).toEqual([])
  })

  test('is stale after the machine started anew', () => {
    leaveLock(root, { boot: 'another' })
    lockFolder(root)()
  })

  test('is stale when a power cut tore it', () => {
    for (const text of ['', '{"pid":', 'null', '[]']) {
      writeFileSync(join(root, 'training-x-1.lock'), text)
      lockFolder(root)()
    }
  })

  test('of another machine is respected, and the way out is named', () => {
    leaveLock(root, { host: `not-${hostname()}`, pid: 12 })
    expect(() => lockFolder(root)).toThrow(/process 12 on not-.*\n.*rm .*training-x-1\.lock/)
    expect(locks(root)).toEqual(['training-x-1.lock'])
  })

  test('of a process that died without a word frees its run, which counts as stopped', () => {
    const run = createRun(join(root, 'spark'), { config })
    const lock = readFileSync(join(run.folder, locks(run.folder)[0]!), 'utf8')
    run.close()
    writeFileSync(run.paths.status, JSON.stringify({ state: 'running', since: '' }))
    const gone = spawnSync(process.execPath, ['-e', '']).pid
    writeFileSync(join(run.folder, 'training-x-1.lock'), JSON.stringify({ ...(JSON.parse(lock) as object), pid: gone }))
    expect(listRuns(root)[0]?.state).toBe('stopped')
    openRun(run.folder).close()
  })
})

describe('the list of runs', () => {
  test('says of each how far it is and how it goes, the last to change first', () => {
    const old = createRun(join(root, 'old'), { config })
    old.close('finished')
    utimesSync(old.paths.config, 0, 0)
    using run = createRun(join(root, 'new'), { config })
    using log = run.log(logOptions)
    log.write({ step: 1, ...measured, heldOutLoss: 3 })
    log.write({ step: 2, ...measured, loss: 2 })
    mkdirSync(join(root, 'no-run'))
    const [first, second] = listRuns(root)
    expect(first).toMatchObject({ name: 'new', state: 'running', step: 2, of: 100, loss: 2, heldOutLoss: 3 })
    expect(first).toMatchObject({ tokensPerSecond: 900, startedAt: run.record.createdAt })
    expect(second).toMatchObject({ name: 'old', state: 'finished', step: 0, of: 100 })
    expect(listRuns(root)).toHaveLength(2)
  })

  test('shows a run whose configuration is damaged, and is empty where there is no folder', () => {
    createRun(join(root, 'spark'), { config }).close()
    writeFileSync(join(root, 'spark', 'config.json'), '{')
    expect(listRuns(root)[0]).toMatchObject({ name: 'spark', state: 'damaged' })
    expect(listRuns(join(root, 'nowhere'))).toEqual([])
  })

  test('knows what a run was closed as', () => {
    const run = createRun(join(root, 'spark'), { config })
    run.close('finished')
    expect(readStatus(run.folder)?.state).toBe('finished')
    expect(listRuns(root)[0]?.state).toBe('finished')
  })
})
