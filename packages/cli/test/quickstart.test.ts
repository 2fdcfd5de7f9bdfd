// `hearth quickstart` from end to end, with four poems in place of its texts: what it says at its end is true.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hearth, type Finished } from './hearth.js'
import { poems, tinyModel } from './tiny-run.js'

const settings = [
  'steps=4',
  'schedule.warmupSteps=1',
  'batch=2',
  'sequenceLength=16',
  'tokenizer.vocabularySize=300',
  `model.config=${JSON.stringify(tinyModel)}`,
  `data.sources=${JSON.stringify([{ path: poems, heldOutFraction: 0.4 }])}`,
].flatMap((setting) => ['--set', setting])

let cwd: string
let first: Finished
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-quickstart-'))
  first = await hearth(['quickstart', ...settings], { cwd })
}, 120_000)
afterAll(() => rmSync(cwd, { recursive: true }))

const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore', input: '' }).status === 0

describe('the quickstart', () => {
  test('trains, and ends by comparing, writing and naming three commands', () => {
    const { code, stdout, stderr } = first
    expect(stderr).toMatch(/4\/4 +loss/)
    expect(stdout).toMatch(/Done: 4 steps, .* in all, in runs\/quickstart\./)
    expect(stdout).toMatch(/your model +\d+\.\d{3}/)
    expect(stdout).toMatch(/In its own voice\nThe state of the Union is./)
    expect(stdout.match(/^# .*\n.*hearth (generate|train|runs)/gm)).toHaveLength(3)
    expect(code).toBe(0)
  })

  test.skipIf(!has('xz'))('measures the compression programs on the same held-out text', async () => {
    const { stdout } = await hearth(['quickstart', ...settings, '--json'], { cwd })
    const { bytes, compression } = JSON.parse(stdout) as {
      bytes: number
      compression: { name: string; bitsPerByte: number }[]
    }
    const xz = compression.find(({ name }) => name === 'xz -9e')!
    const documents = readFileSync(poems, 'utf8').split('<|endoftext|>\n')
    const heldOut = documents.find((text) => Buffer.byteLength(text) === bytes)!
    const size = execFileSync('xz', ['-9e', '-c'], { input: heldOut }).length
    expect(xz.bitsPerByte).toBe((8 * size) / bytes)
    expect(first.stdout).toMatch(new RegExp(`xz -9e +${xz.bitsPerByte.toFixed(3)}`))
  })

  test('a second one takes another name, and leaves the first as it was', async () => {
    const { stdout } = await hearth(['quickstart', ...settings], { cwd })
    expect(stdout).toMatch(/in runs\/quickstart-\d\./)
    expect(/your model.*/.exec(stdout)?.[0]).toBe(/your model.*/.exec(first.stdout)?.[0])
  })

  test('the commands that it names work when they are pasted', () => {
    const lines = first.stdout.split('\n').filter((line) => /^(npx )?hearth /.test(line))
    const main = new URL('../dist/main.js', import.meta.url).pathname
    for (const line of lines) {
      const pasted = line.replace(/^(npx )?hearth/, `"${process.execPath}" "${main}"`)
      const command = pasted.includes(' train ') ? `${pasted} --dry-run` : pasted
      expect(
        execFileSync('bash', ['-c', command], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      ).not.toBe('')
    }
  })
})
