// Runs through the real command: what is lost when the supervisor of workers or ranks, or the one process that trains, is
// killed; and mistakes.
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

// No checkpoint before the end: only the state file can hold what was done.
const settings = ['batch=4', 'slots=2', 'steps=300', 'every.checkpoint=1000', 'every.evaluate=1000', 'every.log=1']

const undisturbed = async () => {
  const asked = [...tinyRun('calm', ...settings), '--workers', '1', '--set', 'slots=2']
  expect((await hearth(asked, { cwd })).code).toBe(0)
}

/** What the supervisors of a run said when they began, after the first one. */
const resumptionsOf = (name: string) =>
  readFileSync(join(cwd, `runs/${name}/events.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; from?: string; step?: number })
    .filter(({ kind }) => kind === 'resumed')
    .slice(1)

/** The processes that a process started, and what they run. */
const childrenOf = (pid: number) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
        return parent === pid ? [{ pid: Number(name), line: readFileSync(`/proc/${name}/cmdline`, 'utf8') }] : []
      } catch {
        return []
      }
    })

test.skipIf(!existsSync('/proc/self/stat'))(
  'a supervisor that is killed is replaced by itself: the run goes on from the last step, to the same bits',
  async () => {
    const killed = startHearth([...tinyRun('killed', ...settings), '--workers', '2'], { cwd })
    await hasLines(join(cwd, 'runs/killed/metrics.jsonl'), 5)
    // The guardian first: the supervisor sees to another one.
    const guardian = childrenOf(killed.child.pid!).find(({ line }) => line.includes('guardian-process'))!
    process.kill(guardian.pid, 'SIGKILL')
    await hasLines(join(cwd, 'runs/killed/metrics.jsonl'), 40)
    killed.child.kill('SIGKILL')
    // Its streams are open for as long as somebody goes on with the run.
    const { signal, stdout, stderr } = await killed.finished
    expect(signal).toBe('SIGKILL')
    expect(stderr).toMatch(/process \d+, which carried the run, was lost; the run goes on by itself in process \d+/)
    expect(stdout).toMatch(/Done: 300 steps/)
    const [second, third] = resumptionsOf('killed')
    expect(second).toMatchObject({ from: 'state file' })
    expect(second!.step).toBeGreaterThanOrEqual(39)
    expect(third).toBeUndefined()
    await undisturbed()
    expect(weightsOf('killed')).toBe(weightsOf('calm'))
  },
  SLOW,
)

test.skipIf(!existsSync('/proc/self/stat')).each([
  ['in one process', [], 'every.checkpoint=20', 20],
  ['of ranks', ['--ranks', '2'], 'every.checkpoint=1000', 25],
] as const)(
  'a run %s that is killed is taken up by its guardian, to the same bits',
  async (_, options, checkpoint, atLeast) => {
    const small = ['batch=4', 'slots=2', 'steps=80', 'every.evaluate=1000', 'every.log=1', checkpoint]
    const metrics = join(cwd, 'runs/killed/metrics.jsonl')
    const killed = startHearth([...tinyRun('killed', ...small), ...options], { cwd })
    await hasLines(metrics, 30)
    killed.child.kill('SIGKILL')
    const { stdout, stderr } = await killed.finished
    expect(stderr).toMatch(/process \d+, which carried the run, was lost; the run goes on by itself in process \d+/)
    expect(stdout).toMatch(/Done: 80 steps/)
    expect(
      Number(/Going on after step (\d+)/.exec(stderr)?.[1] ?? resumptionsOf('killed')[0]?.step),
    ).toBeGreaterThanOrEqual(atLeast)
    expect((await hearth(tinyRun('calm', ...small), { cwd })).code).toBe(0)
    expect(weightsOf('killed')).toBe(weightsOf('calm'))
  },
  SLOW,
)

test(
  'a run that is asked to stop, and then killed, is left alone',
  async () => {
    const stopped = startHearth([...tinyRun('stopped', ...settings), '--workers', '2'], { cwd })
    await hasLines(join(cwd, 'runs/stopped/metrics.jsonl'), 5)
    stopped.child.kill('SIGTERM')
    const { code, stderr } = await stopped.finished
    expect(code).toBe(143)
    expect(stderr).not.toMatch(/goes on by itself/)
    expect(resumptionsOf('stopped')).toEqual([])
  },
  SLOW,
)

test('workers that cannot share the slots equally are refused, with the numbers that can', async () => {
  const { code, stderr } = await hearth([...tinyRun('three', 'batch=4'), '--workers', '3', '--set', 'slots=4'], { cwd })
  expect(code).toBe(1)
  expect(stderr).toMatch(/3 cannot share 4 gradient slots equally; choose 1, 2, 4/)
  expect(existsSync(join(cwd, 'runs'))).toBe(false)
})
