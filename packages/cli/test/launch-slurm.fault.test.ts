// `hearth launch slurm` through a real Slurm: a job of two nodes is stopped by the signal that Slurm sends before its end,
// queued again by itself, and loses a node. The run ends with the bits of one that nobody disturbed.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessGroup } from '@hearth/torch'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hearth } from './hearth.js'
import { slurmMissing, SlurmCluster } from './slurm-cluster.js'
import { tinyRun } from './tiny-run.js'

// It takes half a minute and daemons of its own: the checks of every change go without.
const missing = process.env.CI === 'true' ? 'CI=true' : ProcessGroup.available ? slurmMissing() : 'no process groups'
if (missing !== undefined) console.info(`the tests with a real Slurm are skipped: ${missing}`)

const SLOW = 300_000
const SETTINGS = ['batch=4', 'slots=4', 'every.checkpoint=1000', 'every.evaluate=1000']

let cwd: string
let slurm: SlurmCluster

const launch = (name: string, steps: number, ...options: string[]) => {
  const [, data, ...rest] = tinyRun(name, ...SETTINGS, `steps=${steps}`)
  return hearth(['launch', 'slurm', data!, ...rest, '--machines', '2', '--json', ...options], { cwd, env: slurm.env })
}

const weightsOf = (name: string) =>
  createHash('sha256')
    .update(readFileSync(join(cwd, 'runs', name, 'model/model.safetensors')))
    .digest('hex')

interface Event {
  kind: string
  hosts?: string[]
  step?: number
}

function eventsOf(name: string): Event[] {
  const folder = join(cwd, 'runs', name)
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => /^events-.*\.jsonl$/.test(file)) : []
  const lines = files.flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean))
  return lines.map((line) => JSON.parse(line) as Event)
}

const groupsOf = (name: string) =>
  eventsOf(name).flatMap(({ kind, hosts }) => (kind === 'group-formed' ? [hosts!.join()] : []))

const logOf = (name: string, id: string) => readFileSync(join(cwd, 'jobs', name, `log-${id}.txt`), 'utf8')

async function until(what: string, holds: () => boolean, seconds = 120): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !holds(); await new Promise((resolve) => setTimeout(resolve, 100)))
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`)
}

describe.skipIf(missing !== undefined)('a job of Slurm', () => {
  beforeAll(async () => {
    cwd = mkdtempSync(join(tmpdir(), 'hearth-slurm-'))
    slurm = await SlurmCluster.start(cwd)
  }, SLOW)
  afterAll(async () => {
    await slurm.stop()
    if (process.env.HEARTH_KEEP === undefined) rmSync(cwd, { recursive: true, force: true })
    else console.info(cwd)
  }, SLOW)

  test(
    'that is stopped before its end saves, is queued again, and ends with the bits of an undisturbed run',
    async () => {
      const calm = [...tinyRun('calm', ...SETTINGS, 'steps=150'), '--workers', '1']
      expect((await hearth(calm, { cwd })).code).toBe(0)
      const { code, stdout, stderr } = await launch('stopped', 150, '--submit', '--grace', '30')
      expect(code, stderr).toBe(0)
      const id = (JSON.parse(stdout) as { submitted: string }).submitted
      await until('two nodes train', () => groupsOf('stopped').includes('n1,n2'))
      // What Slurm sends --grace before the time is up.
      slurm.ask('scancel', '--signal=USR1', id)
      await until('the job is queued again', () => slurm.job(id, 'Restarts') === '1')
      const saved = readdirSync(join(cwd, 'runs/stopped/checkpoints')).filter((name) => /^step-\d+$/.test(name))
      expect(saved.length, logOf('stopped', id)).toBeGreaterThan(0)
      await until('the job is done', () => slurm.job(id, 'JobState') === 'COMPLETED')
      expect(weightsOf('stopped')).toBe(weightsOf('calm'))
      expect(logOf('stopped', id)).toMatch(/queued again/)
      expect(readdirSync(join(cwd, 'jobs/stopped')).filter((name) => name.startsWith('secret'))).toEqual([])
    },
    SLOW,
  )

  test(
    'goes on without a node that fails',
    async () => {
      const { stdout } = await launch('failed', 150, '--submit', '--min-hosts', '1')
      const id = (JSON.parse(stdout) as { submitted: string }).submitted
      await until('two nodes train', () => groupsOf('failed').includes('n1,n2'))
      slurm.killNode('n2')
      await until('one node goes on', () => groupsOf('failed').includes('n1'), 20)
      await until('the job is done', () => !['RUNNING', 'PENDING', 'COMPLETING'].includes(slurm.job(id, 'JobState')))
      expect(slurm.job(id, 'JobState'), logOf('failed', id)).toBe('COMPLETED')
      expect(slurm.job(id, 'Restarts')).toBe('0')
      const calm = [...tinyRun('calm-too', ...SETTINGS, 'steps=150'), '--workers', '1']
      expect((await hearth(calm, { cwd })).code).toBe(0)
      expect(weightsOf('failed')).toBe(weightsOf('calm-too'))
    },
    SLOW,
  )
})
