// The options of `hearth launch`: those of a run, those of any job, and those of one system alone.
import type { OptionSpecs } from '../command.js'
import { PORT } from '../hosts/index.js'
import { RUNS_FOLDER } from '../locate.js'

export const launchOptions = {
  set: { kind: 'list', value: 'PATH=VALUE', description: 'change a field of the configuration' },
  name: { kind: 'text', value: 'NAME', description: 'name of the run; the recipe’s own when it is not given' },
  runs: { kind: 'text', value: 'DIR', default: RUNS_FOLDER, description: 'folder that holds the runs' },
  resume: { kind: 'text', value: 'RUN', description: 'go on with this run, in place of a recipe and data' },
  machines: { kind: 'integer', value: 'N', default: 2, minimum: 1, description: 'machines, one member on each' },
  workers: { kind: 'integer', value: 'N', default: 1, minimum: 1, description: 'worker processes on each machine' },
  minHosts: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    description: 'machines without which the run waits; more than half, or 1 with etcd, when not given',
  },
  port: { kind: 'integer', value: 'N', default: PORT, minimum: 1, maximum: 65535, description: 'port to meet on' },
  etcd: { kind: 'text', value: 'URLS', description: 'have the machines meet in etcd: its endpoints, with commas' },
  grace: {
    kind: 'integer',
    value: 'SECONDS',
    default: 120,
    minimum: 1,
    maximum: 65535,
    description: 'before a machine is taken away: what finishing a step and saving take',
  },
  cpus: { kind: 'integer', value: 'N', minimum: 1, description: 'processors on each machine' },
  memory: { kind: 'text', value: 'SIZE', description: 'memory on each machine, as the system writes it (64G; 64Gi)' },
  out: { kind: 'text', value: 'DIR', description: 'folder for the job’s files; jobs/NAME when not given' },
  submit: { kind: 'flag', description: 'give the job to the cluster (sbatch, kubectl apply)' },
  time: { kind: 'text', value: 'LIMIT', description: 'Slurm: time limit of one start of the job' },
  partition: { kind: 'text', value: 'NAME', description: 'Slurm: partition' },
  account: { kind: 'text', value: 'NAME', description: 'Slurm: account' },
  sbatch: { kind: 'list', value: 'OPTION', description: 'Slurm: one more option, as --sbatch=--qos=long' },
  as: {
    ...{ kind: 'text', value: 'KIND', default: 'job', choices: ['job', 'jobset'] },
    description: 'Kubernetes: an indexed Job, or a JobSet where its controller is installed',
  },
  image: { kind: 'text', value: 'IMAGE', description: 'Kubernetes: image with Hearth in it' },
  command: {
    kind: 'text',
    value: 'LINE',
    default: 'hearth',
    description: 'Kubernetes: what runs hearth in the image',
  },
  claim: {
    kind: 'text',
    value: 'NAME',
    description: 'Kubernetes: PersistentVolumeClaim (ReadWriteMany) with the data and the runs',
  },
  mount: { kind: 'text', value: 'PATH', default: '/hearth', description: 'Kubernetes: where pods see it' },
  namespace: { kind: 'text', value: 'NAME', description: 'Kubernetes: namespace' },
  sharedMemory: {
    kind: 'text',
    value: 'SIZE',
    default: '8Gi',
    description: 'Kubernetes: shared memory of a pod, for the state of the run (45 bytes a parameter and more)',
  },
  json: { kind: 'flag', description: 'print the written files, and the submitted job, as JSON' },
} as const satisfies OptionSpecs
