// A disk that is full when a run ends: the last steps wait in memory until there is room, or until they are given up.
// The process is a real one whose files under checkpoints/ meet ENOSPC for as long as a file named `full` exists.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { hearth, shows, startHearth } from './hearth.js'
import { tinyRun } from './tiny-run.js'

let cwd: string
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-full-disk-'))
  expect((await hearth(tinyRun('undisturbed'), { cwd })).code).toBe(0)
}, 120_000)
beforeEach(() => writeFileSync(join(cwd, 'full'), ''))
afterAll(() => rmSync(cwd, { recursive: true }))

const preload = `
  import fs from 'node:fs/promises'
  import { existsSync } from 'node:fs'
  import { syncBuiltinESMExports } from 'node:module'
  const { open } = fs
  fs.open = async (path, flags) => {
    const file = await open(path, flags)
    if (flags !== 'wx' || !path.includes('/checkpoints/') || !existsSync('full')) return file
    const refusal = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' })
    file.write = () => Promise.reject(refusal)
    return file
  }
  syncBuiltinESMExports()`
const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(preload)}` }
const makeRoom = () => rmSync(join(cwd, 'full'))
const start = (name: string, ...settings: string[]) => startHearth(tinyRun(name, ...settings), { cwd, env })
const model = (run: string) => readFileSync(join(cwd, 'runs', run, 'model/model.safetensors'))
const waiting = /step 12 .* was not saved .*the disk is full[^]*last steps are only in memory: next attempt in 1 s/

test('checkpoints on the way are missed and said so; the last one waits for room, and nothing is lost', async () => {
  const started = start('waits')
  await shows(started, waiting)
  expect(started.shown()).toMatch(/warning: the checkpoint of step 4 .* was not saved/)
  makeRoom()
  const { code, stdout } = await started.finished
  expect([code, stdout]).toEqual([0, expect.stringContaining('Done: 12 steps')])
  expect(model('waits').equals(model('undisturbed'))).toBe(true)
})

test('Ctrl+C gives the last steps up, and says how they are done once more', async () => {
  const started = start('gives-up')
  await shows(started, waiting)
  started.child.kill('SIGINT')
  const { code, stdout, stderr } = await started.finished
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/error: the last steps of .*gives-up were given up.*\n +remedy: .*hearth resume/)
  makeRoom()
  expect((await hearth(['resume', 'gives-up'], { cwd })).code).toBe(0)
  expect(model('gives-up').equals(model('undisturbed'))).toBe(true)
})

test('a run that is stopped by Ctrl+C waits as well', async () => {
  const started = start('stopped', 'steps=100000', 'every.checkpoint=100000', 'every.evaluate=100000')
  await shows(started, /\d+\/100000 +loss/)
  started.child.kill('SIGINT')
  await shows(started, /last steps are only in memory: next attempt in 2 s/)
  makeRoom()
  const { code, stdout } = await started.finished
  expect([code, stdout]).toEqual([130, expect.stringMatching(/Stopped after step \d+ of 100000; everything is saved/)])
})
