// A run on several machines through the real command. Machines are addresses of the loopback network, and, where this is
// root on Linux, network namespaces joined by a bridge: one is killed with all its processes, another is cut off.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessGroup } from '@hearth/torch'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hearth, startHearth } from './hearth.js'
import { tinyRun } from './tiny-run.js'

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-hosts-'))
})
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

const SLOW = 400_000
const HOSTS = ['a', 'b', 'c']
const NAMES = HOSTS.map((host) => `hearth-test-${host}`)
const ADDRESSES = HOSTS.map((_, i) => `10.231.77.${i + 1}`)
const BRIDGE = 'hearth-test'

const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' })

function makeNetwork(): boolean {
  if (process.getuid?.() !== 0 || ip('link', 'add', BRIDGE, 'type', 'bridge').status !== 0) return false
  ip('link', 'set', BRIDGE, 'up')
  for (const [i, name] of NAMES.entries()) {
    ip('netns', 'add', name)
    ip('link', 'add', `hearth-${HOSTS[i]!}`, 'type', 'veth', 'peer', 'name', 'wire', 'netns', name)
    ip('link', 'set', `hearth-${HOSTS[i]!}`, 'master', BRIDGE, 'up')
    ip('-n', name, 'addr', 'add', `${ADDRESSES[i]!}/24`, 'dev', 'wire')
    ip('-n', name, 'link', 'set', 'wire', 'up')
    ip('-n', name, 'link', 'set', 'lo', 'up')
  }
  return ip('-n', NAMES[2]!, 'addr', 'show', 'wire').stdout.includes(ADDRESSES[2]!)
}

function removeNetwork(): void {
  for (const name of NAMES) ip('netns', 'del', name)
  ip('link', 'del', BRIDGE)
}

// A test that was killed may have left one.
removeNetwork()
// It takes two minutes: `npm test` has it, the checks of every change do not.
const hasNetwork = process.env.CI !== 'true' && ProcessGroup.available && makeNetwork()
removeNetwork()
if (!hasNetwork) console.info('no network namespaces here (root on Linux has them), or CI=true: their test is skipped')

const weightsOf = (name: string) =>
  createHash('sha256')
    .update(readFileSync(join(cwd, 'runs', name, 'model/model.safetensors')))
    .digest('hex')

interface Event {
  kind: string
  host: string
  step: number
  time: string
  hosts?: string[]
}

function eventsOf(name: string): Event[] {
  const folder = join(cwd, 'runs', name)
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => /^events-.*\.jsonl$/.test(file)) : []
  const lines = files.flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean))
  return lines.map((line) => JSON.parse(line) as Event).sort((a, b) => (a.time < b.time ? -1 : 1))
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** How often a group of exactly these hosts was formed, as its leader tells it. */
const formedBy = (name: string, hosts: readonly string[]) =>
  eventsOf(name).filter(
    (event) => event.kind === 'group-formed' && event.hosts?.join() === hosts.join() && event.host === hosts[0],
  )

const settings = (steps: number) => [
  'batch=4',
  'slots=4',
  `steps=${steps}`,
  'every.checkpoint=1000',
  'every.evaluate=1000',
]

describe.skipIf(!ProcessGroup.available)('a run on several hosts', () => {
  test(
    'has the bits of one host, for one and two workers each, and says in its events who was there',
    async () => {
      const calm = await hearth([...tinyRun('calm', ...settings(10)), '--workers', '1', '--set', 'slots=4'], { cwd })
      expect(calm.code).toBe(0)
      const three = await hearth([...tinyRun('three', ...settings(10)), '--hosts', 'local:3', '--port', '7711'], {
        cwd,
      })
      expect(three.stderr).not.toMatch(/error/)
      expect(three.code).toBe(0)
      const two = [...tinyRun('two', ...settings(10)), '--hosts', 'local:2', '--workers', '2', '--port', '7712']
      expect((await hearth(two, { cwd })).code).toBe(0)
      expect(weightsOf('three')).toBe(weightsOf('calm'))
      expect(weightsOf('two')).toBe(weightsOf('calm'))
      expect(formedBy('three', ['local-1', 'local-2', 'local-3'])).toHaveLength(1)
      expect((await hearth(['runs', 'show', 'three'], { cwd })).stdout).toMatch(/hosts +local-1, local-2, local-3/)
    },
    SLOW,
  )

  test('is refused before anything is made when hosts, workers and slots do not fit, all of it at once', async () => {
    const wrong = [
      ...tinyRun('wrong', 'batch=4', 'slots=4'),
      '--hosts',
      'local:3',
      '--workers',
      '3',
      '--min-hosts',
      '5',
    ]
    const { code, stderr } = await hearth(wrong, { cwd })
    expect(code).toBe(1)
    expect(stderr).toMatch(/workers: 3 a machine; choose a power of two/)
    expect(stderr).toMatch(/minHosts: 5, but there are 3 hosts/)
    const twice = await hearth([...tinyRun('wrong'), '--hosts', 'a,b,a'], { cwd })
    expect(twice.code).toBe(2)
    expect(twice.stderr).toMatch(/names a twice/)
    expect(existsSync(join(cwd, 'runs'))).toBe(false)
  })
})

test.skipIf(!hasNetwork)(
  'a host whose processes are all killed, and one that is cut off, cost no step and no bit: they come back and join',
  async () => {
    expect(
      (await hearth([...tinyRun('calm', ...settings(500)), '--workers', '1', '--set', 'slots=4'], { cwd })).code,
    ).toBe(0)
    expect(makeNetwork()).toBe(true)
    try {
      const hosts = HOSTS.map((host, i) => `${host}=${ADDRESSES[i]!}`).join(',')
      const via = ['--hosts', hosts, '--via', `ip netns exec hearth-test-{host}`]
      const run = startHearth([...tinyRun('broken', ...settings(500)), ...via], { cwd })
      await until(() => eventsOf('broken').filter(({ kind }) => kind === 'worker-started').length >= 3)

      // The first host is the one whose store counts, and the leader.
      const pids = ip('netns', 'pids', NAMES[0]!).stdout.trim().split('\n')
      execFileSync('kill', ['-9', ...pids])
      const killed = new Date().toISOString()
      // Whether the others go on before it is back is a matter of moments.
      await until(() => formedBy('broken', HOSTS).some(({ time }) => time > killed))

      ip('-n', NAMES[2]!, 'link', 'set', 'wire', 'down')
      const cut = Date.now()
      await until(() => formedBy('broken', ['a', 'b']).length > 0)
      const noticed = (Date.parse(formedBy('broken', ['a', 'b'])[0]!.time) - cut) / 1000
      console.info(`a host that is cut off: the others went on after ${noticed.toFixed(1)} s`)
      expect(noticed).toBeLessThan(10)
      ip('-n', NAMES[2]!, 'link', 'set', 'wire', 'up')
      const healed = new Date().toISOString()
      await until(() => formedBy('broken', HOSTS).some(({ time }) => time > healed))

      const { code, stderr } = await run.finished
      expect(code, stderr.slice(-2000)).toBe(0)
      expect(weightsOf('broken')).toBe(weightsOf('calm'))
    } finally {
      removeNetwork()
    }
  },
  SLOW,
)
