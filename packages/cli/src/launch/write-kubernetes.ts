// Writes a job for Kubernetes into a file that only its owner can read, since the run's secret is in it, and submits it.
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { UsageError } from '../failure.js'
import type { Job } from './job.js'
import { kubernetesManifests, type KubernetesOptions } from './kubernetes.js'
import { askCluster } from './submit.js'
import type { WrittenJob } from './write-slurm.js'

const FILE = 'job.yaml'
/** A label of DNS, with room for what Kubernetes adds to make the names of pods. */
const NAME = /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/

type Asked = Omit<KubernetesOptions, 'secret' | 'image' | 'claim'> & {
  image: string | undefined
  claim: string | undefined
  folder: string
  submit: boolean
}

/** @throws UsageError with everything that is missing */
export async function writeKubernetesJob(job: Job, asked: Asked): Promise<WrittenJob> {
  const { folder, submit, image, claim } = asked
  const problems = [
    ...(image === undefined ? ['--image IMAGE is needed: one with Hearth in it'] : []),
    ...(claim === undefined ? ['--claim NAME is needed: a PersistentVolumeClaim that all pods can write'] : []),
    ...(NAME.test(job.name)
      ? []
      : [`a job of Kubernetes is named with up to 40 of a-z, 0-9 and -, got ${JSON.stringify(job.name)}: --name NAME`]),
  ]
  if (image === undefined || claim === undefined || problems.length > 0) throw new UsageError(problems, 'launch')
  const { stringify } = await import('yaml')
  const secret = randomBytes(32).toString('hex')
  const manifests = kubernetesManifests(job, { ...asked, image, claim, secret })
  const text = manifests.map((manifest) => stringify(manifest, { lineWidth: 0 })).join('---\n')
  mkdirSync(folder, { recursive: true })
  const file = join(resolve(folder), FILE)
  rmSync(file, { force: true })
  writeFileSync(file, text, { mode: 0o600 })
  if (!submit) return { files: [file] }
  return { files: [file], submitted: askCluster(['kubectl', 'apply', '--filename', '-'], text) }
}
