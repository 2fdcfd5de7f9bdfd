// A job for Kubernetes: an indexed Job, or a JobSet, with one pod for each machine of the run, that may be disrupted and
// started again at will. Not here: submitting it.
import { memberWords, type Job } from './job.js'

export interface KubernetesOptions {
  kind: 'job' | 'jobset'
  namespace: string | undefined
  /** With Hearth in it. */
  image: string
  /** What runs `hearth` in the image. */
  command: readonly string[]
  /** A claim of storage that all pods can write, and where they see it. */
  claim: string
  mount: string
  /** Of shared memory, for the state of the run. */
  sharedMemory: string
  /** Text of the configuration of a run to be made. */
  config: string | undefined
  secret: string
}

type Manifest = Record<string, unknown>

const FILES = '/etc/hearth'
const RESTARTS = 100
const CONFIG = 'config.json'
/** The one group of jobs in a JobSet. */
const GROUP = 'machine'
const CONTAINER = 'member'
// Exit codes of a member (docs/cli/member.md).
const [REFUSED, WRONG_LINE, STOPPED, TERMINATED] = [1, 2, 75, 143]

/** @returns the manifests, in the order in which they are to be made */
export function kubernetesManifests(job: Job, options: KubernetesOptions): Manifest[] {
  const { kind, namespace, config, secret } = options
  const meta = (name: string) => ({
    name,
    ...(namespace !== undefined && { namespace }),
    labels: { 'app.kubernetes.io/name': 'hearth', 'app.kubernetes.io/instance': job.name },
  })
  const core = (of: string, name: string, rest: Manifest) => ({
    apiVersion: 'v1',
    kind: of,
    metadata: meta(name),
    ...rest,
  })
  return [
    core('Secret', `${job.name}-secret`, { type: 'Opaque', immutable: true, stringData: { secret } }),
    ...(config === undefined ? [] : [core('ConfigMap', `${job.name}-config`, { data: { [CONFIG]: config } })]),
    ...(kind === 'job'
      ? [
          core('Service', job.name, { spec: serviceSpec(job) }),
          { apiVersion: 'batch/v1', kind: 'Job', metadata: meta(job.name), spec: jobSpec(job, options) },
        ]
      : [jobSet(job, options, meta(job.name))]),
  ]
}

/** Gives each pod a name of its own, also before it is ready: they become ready by meeting. */
const serviceSpec = (job: Job): Manifest => ({
  clusterIP: 'None',
  publishNotReadyAddresses: true,
  selector: { 'batch.kubernetes.io/job-name': job.name },
  ports: [{ name: 'meet', port: job.port, targetPort: job.port }],
})

function jobSet(job: Job, options: KubernetesOptions, metadata: Manifest): Manifest {
  const { subdomain: _, ...spec } = podSpec(job, options)
  const template = { spec: { ...jobSpec(job, options), template: { metadata: podLabels(job), spec } } }
  return {
    apiVersion: 'jobset.x-k8s.io/v1alpha2',
    kind: 'JobSet',
    metadata,
    spec: {
      network: { enableDNSHostnames: true, publishNotReadyAddresses: true, subdomain: job.name },
      failurePolicy: { maxRestarts: 3 },
      replicatedJobs: [{ name: GROUP, replicas: 1, template }],
    },
  }
}

function jobSpec(job: Job, options: KubernetesOptions): Manifest {
  return {
    completionMode: 'Indexed',
    completions: job.machines,
    parallelism: job.machines,
    backoffLimit: RESTARTS,
    podFailurePolicy: {
      rules: [
        // A drained, preempted or lost node, and a run that was stopped, are no failures: the pod comes back.
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] },
        { action: 'Ignore', onExitCodes: { containerName: CONTAINER, operator: 'In', values: [STOPPED, TERMINATED] } },
        // What was refused is refused again.
        { action: 'FailJob', onExitCodes: { containerName: CONTAINER, operator: 'In', values: [REFUSED, WRONG_LINE] } },
      ],
    },
    template: { metadata: podLabels(job), spec: podSpec(job, options) },
  }
}

const podLabels = (job: Job) => ({
  labels: { 'app.kubernetes.io/name': 'hearth', 'app.kubernetes.io/instance': job.name },
})

function podSpec(job: Job, options: KubernetesOptions) {
  return {
    subdomain: job.name,
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: job.grace,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: podLabels(job).labels },
      },
    ],
    containers: [memberContainer(job, options)],
    volumes: volumesOf(job, options),
  }
}

function memberContainer(job: Job, options: KubernetesOptions): Manifest {
  const { command, image, config, mount } = options
  const files = {
    config: config === undefined ? undefined : `${FILES}/config/${CONFIG}`,
    secret: `${FILES}/secret/secret`,
  }
  const resources = {
    ...(job.cpus !== undefined && { cpu: String(job.cpus) }),
    ...(job.memory !== undefined && { memory: job.memory }),
  }
  return {
    name: CONTAINER,
    image,
    command: [...command, ...memberWords(job, podHosts(job, options), files)],
    workingDir: mount,
    ports: [{ name: 'meet', containerPort: job.port }],
    ...(Object.keys(resources).length > 0 && { resources: { requests: resources, limits: resources } }),
    volumeMounts: [
      { name: 'shared', mountPath: mount },
      { name: 'memory', mountPath: '/dev/shm' },
      { name: 'secret', mountPath: `${FILES}/secret`, readOnly: true },
      ...(config === undefined ? [] : [{ name: 'config', mountPath: `${FILES}/config`, readOnly: true }]),
    ],
  }
}

/** The state of the run lies in shared memory, of which a pod otherwise has 64 MB. */
function volumesOf(job: Job, { claim, config, sharedMemory }: KubernetesOptions): Manifest[] {
  return [
    { name: 'shared', persistentVolumeClaim: { claimName: claim } },
    { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: sharedMemory } },
    { name: 'secret', secret: { secretName: `${job.name}-secret` } },
    ...(config === undefined ? [] : [{ name: 'config', configMap: { name: `${job.name}-config` } }]),
  ]
}

/** Pods by their host names, which the index of each is in. */
function podHosts({ name, machines }: Job, { kind }: KubernetesOptions): string {
  const before = kind === 'job' ? name : `${name}-${GROUP}-0`
  return Array.from({ length: machines }, (_, i) => `${before}-${i}=${before}-${i}.${name}`).join(',')
}
