// Ctrl+C in every phase of a run: the phase at hand ends, the run is saved, is said to go on, and goes on to the same bits.
// The signals are real ones: the process sends them to itself at the moment that is tested, or the test does.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hearth, shows, startHearth } from './hearth.js'
import { tinyRun } from './tiny-run.js'

let cwd: string
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-interrupt-'))
  expect((await hearth(tinyRun('undisturbed'), { cwd })).code).toBe(0)
}, 120_000)
afterAll(() => rmSync(cwd, { recursive: true }))

const preload = (code: string) => ({
  NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}`,
})
const INTERRUPT = `process.kill(process.pid, 'SIGINT')`

/** Ctrl+C at the moment in which a text is shown. */
const whenShown = (text: string) =>
  preload(`
    const { write } = process.stderr
    let sent = false
    process.stderr.write = function (text, ...rest) {
      if (!sent && String(text).includes(${JSON.stringify(text)})) { sent = true; ${INTERRUPT} }
      return write.call(this, text, ...rest)
    }`)

/** Ctrl+C at the moment in which a checkpoint gets its name. */
const whenSaving = preload(`
  import fs from 'node:fs/promises'
  import { syncBuiltinESMExports } from 'node:module'
  const { rename } = fs
  fs.rename = (from, to) => { if (from.endsWith('.partial')) ${INTERRUPT}; return rename(from, to) }
  syncBuiltinESMExports()`)

const phases: [phase: string, name: string, env: NodeJS.ProcessEnv, settings: string[], step: number][] = [
  ['the tokenizer is trained', 'tokenizer', whenShown('Training the tokenizer'), [], 0],
  ['tokens are written', 'tokens', whenShown('Writing tokens'), [], 0],
  ['the training begins', 'training', whenShown('Training\n'), [], 0],
  ['a step ends', 'step', whenShown('5/12'), [], 5],
  ['held-out text is measured', 'evaluating', whenShown('Measuring on held-out text'), [], 6],
  ['a sample is written', 'sample', whenShown('step 3 writes'), ['every.sample=3'], 3],
  ['a checkpoint is saved', 'saving', whenSaving, [], 4],
  ['the end is measured', 'end', whenShown('Measuring on held-out text'), ['every.evaluate=1000'], 12],
]

describe('Ctrl+C while', () => {
  test.each(phases)('%s saves the run, says how it goes on, and it goes on', async (_, name, env, settings, step) => {
    const stopped = await hearth(tinyRun(name, ...settings), { cwd, env })
    expect(stopped.stderr).toMatch(
      /^Stopping: the step at hand is finished and saved first\. \(Ctrl\+C again stops at once: .* saved( yet)?\.\)$/m,
    )
    expect(stopped.stdout).toMatch(
      new RegExp(
        `^Stopped after step ${step} of 12; everything is saved. It goes on with:\n  .*hearth resume runs/${name}\n$`,
      ),
    )
    expect(stopped.code).toBe(130)
    const resumed = await hearth(['resume', name], { cwd })
    expect([resumed.code, resumed.stdout]).toEqual([0, expect.stringContaining('Done: 12 steps')])
    const model = (run: string) => readFileSync(join(cwd, 'runs', run, 'model/model.safetensors'))
    expect(model(name).equals(model('undisturbed'))).toBe(true)
  })
})

describe('in a long computation', () => {
  // A slot takes a good part of a second, in which nothing is heard.
  const slow = (name: string, ...settings: string[]) =>
    tinyRun(name, 'steps=1000', 'batch=48', 'sequenceLength=256', ...settings)

  test('the first step is finished and saved, and no second one is begun', async () => {
    const started = startHearth(slow('first-step'), { cwd })
    await shows(started, /\nTraining/)
    // Into the middle of the computation.
    await new Promise((resolve) => setTimeout(resolve, 100))
    started.child.kill('SIGINT')
    const { code, stdout } = await started.finished
    expect(stdout).toContain('Stopped after step 1 of 1000; everything is saved.')
    expect(code).toBe(130)
    expect(readdirSync(join(cwd, 'runs/first-step/checkpoints'))).toEqual(['step-00000001'])
  })

  test('a second Ctrl+C does not wait for its end', async () => {
    const started = startHearth(slow('twice', 'slots=2', 'batch=96'), { cwd })
    await shows(started, /\nTraining/)
    started.child.kill('SIGINT')
    await shows(started, /Ctrl\+C again stops at once: no step is saved yet/)
    await new Promise((resolve) => setTimeout(resolve, 400))
    const asked = performance.now()
    started.child.kill('SIGINT')
    const { signal } = await started.finished
    expect(signal).toBe('SIGINT')
    expect(performance.now() - asked).toBeLessThan(500)
    expect(existsSync(join(cwd, 'runs/twice/checkpoints'))).toBe(false)
    // Whoever trained in it is gone: the folder is free.
    expect((await hearth(['runs'], { cwd })).stdout).toMatch(/twice +stopped/)
  })
})
