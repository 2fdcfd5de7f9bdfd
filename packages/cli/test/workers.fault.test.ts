// Runs with --workers through the real command: what is lost when the supervisor itself is killed, and mistakes.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hearth, startHearth } from './hearth.js'
import { tinyRun } from './tiny-run.js'

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-workers-'))
})
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

const SLOW = 240_000

/** Resolves when a file has so many lines. */
async function hasLines(path: string, lines: number): Promise<void> {
  const count = () => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0)
  while (count() < lines) await new Promise((resolve) => setTimeout(resolve, 10))
}

const weightsOf = (name: string) =>
  createHash('sha256')
    .update(readFileSync(join(cwd, 'runs', name, 'model/model.safetensors')))
    .digest('hex')

test(
  'a supervisor that is killed leaves the state of the last step: the run goes on from there, to the same bits',
  async () => {
    // No checkpoint before the end: only the state file can hold what was done.
    const settings = ['batch=4', 'slots=2', 'steps=300', 'every.checkpoint=1000', 'every.evaluate=1000', 'every.log=1']
    const killed = startHearth([...tinyRun('killed', ...settings), '--workers', '2'], { cwd })
    await hasLines(join(cwd, 'runs/killed/metrics.jsonl'), 5)
    killed.child.kill('SIGKILL')
    expect((await killed.finished).signal).toBe('SIGKILL')
    const checkpoints = join(cwd, 'runs/killed/checkpoints')
    expect(existsSync(checkpoints) ? readdirSync(checkpoints) : []).toEqual([])

    expect((await hearth(['resume', 'killed'], { cwd })).code).toBe(0)
    const events = readFileSync(join(cwd, 'runs/killed/events.jsonl'), 'utf8')
    const resumed = events
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string; from?: string; step?: number })
    const second = resumed.filter(({ kind }) => kind === 'resumed')[1]
    expect(second).toMatchObject({ from: 'state file' })
    expect(second!.step).toBeGreaterThan(0)

    expect((await hearth([...tinyRun('calm', ...settings), '--workers', '1', '--set', 'slots=2'], { cwd })).code).toBe(
      0,
    )
    expect(weightsOf('killed')).toBe(weightsOf('calm'))
  },
  SLOW,
)

test('workers that cannot share the slots equally are refused, with the numbers that can', async () => {
  const { code, stderr } = await hearth([...tinyRun('three', 'batch=4'), '--workers', '3', '--set', 'slots=4'], { cwd })
  expect(code).toBe(1)
  expect(stderr).toMatch(/3 cannot share 4 gradient slots equally; choose 1, 2, 4/)
  expect(existsSync(join(cwd, 'runs'))).toBe(false)
})
