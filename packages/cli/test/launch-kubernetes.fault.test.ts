// The pods of `hearth launch kubernetes`, run as the manifest says them, but as processes of this machine with a real
// etcd: one is evicted and comes back. Whether a cluster takes the manifest: src/launch/launch.test.ts.
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProcessGroup } from '@hearth/torch'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { etcdMissing, startEtcd } from './etcd.js'
import { hearth, startHearth, type Started } from './hearth.js'
import { tinyRun } from './tiny-run.js'

// It takes half a minute: the checks of every change go without.
const missing = process.env.CI === 'true' ? 'CI=true' : ProcessGroup.available ? etcdMissing() : 'no process groups'
if (missing !== undefined) console.info(`the test of pods with a real etcd is skipped: ${missing}`)

const SLOW = 300_000
const SETTINGS = ['batch=4', 'slots=4', 'steps=600', 'every.checkpoint=10000', 'every.evaluate=10000']

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-pods-'))
})
afterEach(() => rmSync(cwd, { recursive: true, force: true }))

interface Manifest {
  kind: string
  stringData?: { secret: string }
  data?: { 'config.json': string }
  spec?: { template: { spec: { containers: { command: string[] }[] } } }
}

/** The line of a pod, with its files and its network where this machine has them. */
function podLine(index: number): string[] {
  const text = readFileSync(join(cwd, 'jobs/pods/job.yaml'), 'utf8')
  const all = parseAllDocuments(text).map((document) => document.toJS() as Manifest)
  const of = (kind: string) => all.find((manifest) => manifest.kind === kind)!
  writeFileSync(join(cwd, 'secret'), of('Secret').stringData!.secret)
  writeFileSync(join(cwd, 'config.json'), of('ConfigMap').data!['config.json'])
  const [program, ...words] = of('Job').spec!.template.spec.containers[0]!.command
  expect(program).toBe('hearth')
  const here = words.map((word) =>
    word
      .replace('/etc/hearth/secret/', `${cwd}/`)
      .replace('/etc/hearth/config/', `${cwd}/`)
      .replace(/=pods-(\d)\.pods/g, (_, i) => `=127.0.0.${Number(i) + 1}`),
  )
  return [...here, '--self', `pods-${index}`]
}

interface Event {
  kind: string
  host: string
  hosts?: string[]
  from?: string
}

function events(): Event[] {
  const folder = join(cwd, 'runs/pods')
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => /^events-.*\.jsonl$/.test(file)) : []
  const lines = files.flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean))
  return lines.map((line) => JSON.parse(line) as Event)
}

const groups = (host: string) =>
  events().flatMap(({ kind, hosts, ...event }) =>
    kind === 'group-formed' && event.host === host ? [hosts!.join()] : [],
  )

async function until(what: string, pods: Started[], holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 120_000; !holds(); await new Promise((resolve) => setTimeout(resolve, 50)))
    if (Date.now() > end) throw new Error(`not within 120 s: ${what}\n${pods.map(({ shown }) => shown()).join('\n')}`)
}

const weightsOf = (name: string) =>
  createHash('sha256')
    .update(readFileSync(join(cwd, 'runs', name, 'model/model.safetensors')))
    .digest('hex')

test.skipIf(missing !== undefined)(
  'a pod that is evicted goes after its step, comes back with the state of the other, and costs no bit',
  async () => {
    const etcd = await startEtcd(join(cwd, 'etcd'))
    try {
      const [, data, ...settings] = tinyRun('pods', ...SETTINGS)
      const options = ['--machines', '2', '--min-hosts', '1', '--image', 'any', '--claim', 'any', '--mount', cwd]
      const line = ['launch', 'kubernetes', data!, ...settings, ...options, '--etcd', etcd.url]
      expect(await hearth(line, { cwd })).toMatchObject({ code: 0 })

      const start = (index: number) => startHearth(podLine(index), { cwd })
      const pods = [start(0), start(1)]
      await until('both train', pods, () => groups('pods-0').includes('pods-0,pods-1'))
      pods[1]!.child.kill('SIGTERM')
      expect((await pods[1]!.finished).code, pods[1]!.shown()).toBe(143)
      await until('one goes on', pods, () => groups('pods-0').at(-1) === 'pods-0')
      pods[1] = start(1)
      await until('both train again', pods, () => groups('pods-0').at(-1) === 'pods-0,pods-1')
      for (const pod of pods) expect((await pod.finished).code, pod.shown()).toBe(0)
      expect(events().filter(({ kind }) => kind === 'state-fetched')).toMatchObject([
        { host: 'pods-1', from: 'pods-0' },
      ])

      expect((await hearth([...tinyRun('calm', ...SETTINGS), '--workers', '1'], { cwd })).code).toBe(0)
      expect(weightsOf('pods')).toBe(weightsOf('calm'))
    } finally {
      await etcd.stop()
    }
  },
  SLOW,
)
