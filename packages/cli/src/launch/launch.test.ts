// What `hearth launch` writes: manifests against the published schemas of Kubernetes and JobSet (fixtures/kubernetes), the
// script against bash. Whether Slurm runs it: test/launch-slurm.fault.test.ts.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'
import { slotsOf, type Job } from './job.js'
import { kubernetesManifests, type KubernetesOptions } from './kubernetes.js'
import { slurmScript } from './slurm.js'

interface Schemas {
  kinds: Record<string, string>
  definitions: Record<string, object>
}

const file = new URL('../../../../fixtures/kubernetes/schemas.json', import.meta.url)
const { kinds, definitions } = JSON.parse(readFileSync(file, 'utf8')) as Schemas
const ajv = new Ajv({ allErrors: true, allowUnionTypes: true })
ajv.addSchema({ $id: 'all', definitions })

/** What a cluster that validates strictly would say. */
function problemsOf(manifest: Record<string, unknown>): unknown[] {
  const validate = ajv.getSchema(`all#/definitions/${kinds[manifest.kind as string]!}`)!
  return validate(manifest)
    ? []
    : validate.errors!.map(({ instancePath, message, params }) => [instancePath, message, params])
}

const SECRET = 'the secret of the run'
const job: Job = {
  ...{ name: 'books', run: '/hearth/runs/books', machines: 3, workers: 2, minimumHosts: 2, port: 7433 },
  ...{ etcd: undefined, grace: 90, cpus: 8, memory: '64Gi' },
}
const options: KubernetesOptions = {
  ...{ kind: 'job', namespace: 'models', image: 'my/hearth:1', command: ['hearth'], claim: 'shared', mount: '/hearth' },
  ...{ sharedMemory: '8Gi', config: '{"steps":1}', secret: SECRET },
}

interface PodSpec {
  terminationGracePeriodSeconds: number
  restartPolicy: string
  subdomain?: string
  containers: { command: string[] }[]
}

describe('a job for Kubernetes', () => {
  test.each(['job', 'jobset'] as const)('is what the published schemas say, as a %s', (kind) => {
    for (const config of [options.config, undefined])
      for (const manifest of kubernetesManifests(job, { ...options, kind, config }))
        expect(problemsOf(manifest), String(manifest.kind)).toEqual([])
  })

  test('is refused by these schemas with a field that they do not know, or of another type', () => {
    const manifests = kubernetesManifests(job, options)
    const broken = JSON.parse(JSON.stringify(manifests.at(-1)).replace('completionMode', 'completionsMode')) as never
    expect(problemsOf(broken)).toHaveLength(1)
    const wrong = JSON.parse(JSON.stringify(manifests.at(-1)).replace('"parallelism":3', '"parallelism":"3"')) as never
    expect(problemsOf(wrong)).toHaveLength(1)
  })

  test('has a pod for each machine under the name that the others call it by', () => {
    const [service, batch] = kubernetesManifests(job, options).slice(-2) as [
      { spec: { clusterIP: string; selector: object }; metadata: { name: string } },
      { spec: { completions: number; completionMode: string; template: { spec: PodSpec } } },
    ]
    const { spec } = batch.spec.template
    expect(service.spec.clusterIP).toBe('None')
    expect(spec.subdomain).toBe(service.metadata.name)
    expect([batch.spec.completions, batch.spec.completionMode]).toEqual([3, 'Indexed'])
    const hosts = spec.containers[0]!.command[spec.containers[0]!.command.indexOf('--hosts') + 1]
    expect(hosts).toBe('books-0=books-0.books,books-1=books-1.books,books-2=books-2.books')
    expect([spec.terminationGracePeriodSeconds, spec.restartPolicy]).toEqual([90, 'Never'])
  })

  test('counts a disruption and a stopped run as no failure, and does not try again what was refused', () => {
    const batch = kubernetesManifests(job, options).at(-1) as { spec: { podFailurePolicy: { rules: unknown[] } } }
    expect(batch.spec.podFailurePolicy.rules).toEqual([
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] },
      { action: 'Ignore', onExitCodes: { containerName: 'member', operator: 'In', values: [75, 143] } },
      { action: 'FailJob', onExitCodes: { containerName: 'member', operator: 'In', values: [1, 2] } },
    ])
  })

  test('has the secret in a Secret, and nowhere else', () => {
    for (const kind of ['job', 'jobset'] as const) {
      const holding = kubernetesManifests(job, { ...options, kind }).filter((each) =>
        JSON.stringify(each).includes(SECRET),
      )
      expect(holding.map((each) => each.kind)).toEqual(['Secret'])
    }
  })
})

describe('a job for Slurm', () => {
  const script = slurmScript(
    { ...job, name: "it's" },
    {
      ...{ folder: '/shared/jobs/books', cwd: "/shared/my texts' place", command: ['/usr/bin/node', '/opt/main.js'] },
      ...{ makes: true, time: '1:00:00', partition: 'long', account: undefined, more: ['--qos=high'] },
    },
  )

  test('is a script that bash can read, whatever is in its names', () => {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    expect(script).toContain(`cd '/shared/my texts'\\'' place' || exit 1`)
  })

  test('asks for what a run needs that nodes may leave', () => {
    const asked = script.split('\n').filter((line) => line.startsWith('#SBATCH '))
    const wanted = ['--nodes=3', '--requeue', '--no-kill', '--signal=USR1@90', '--cpus-per-task=8', '--qos=high']
    for (const option of wanted) expect(asked).toContain(`#SBATCH ${option}`)
  })

  test('has no secret in it', () => {
    expect(script).toMatch(/--secret-file "\$secret"/)
    expect(script).not.toMatch(/[0-9a-f]{32}/)
  })
})

test('every worker has a gradient slot, and slots are a power of two', () => {
  expect([slotsOf(1, 1), slotsOf(2, 2), slotsOf(3, 2), slotsOf(5, 1)]).toEqual([1, 4, 8, 8])
})
