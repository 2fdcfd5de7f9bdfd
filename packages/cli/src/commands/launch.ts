// `hearth launch`: a run as a job of Slurm or Kubernetes.
import { join } from 'node:path'
import { commandLine, shortPath } from '../command-line.js'
import { defineCommand } from '../command.js'
import { UsageError } from '../failure.js'
import { launchOptions, planRun, writeKubernetesJob, writeSlurmJob, type Job } from '../launch/index.js'

export const launch = defineCommand({
  name: 'launch',
  summary: 'write and submit a job of Slurm or Kubernetes that trains on several machines',
  description: [
    'Takes what `hearth train` takes, and writes a job that has `hearth member` on each machine until the run is done: a batch script for sbatch, or manifests of an indexed Job or a JobSet for kubectl. With --submit it is given to the cluster as well. The first machine makes the run, unless --resume names one that is there.',
    'The job is started again by itself: when a node fails, when it is preempted, and when its time is up before the run is done (it is then saved first, within --grace). A lost machine does not end it as long as --min-hosts are there.',
    'For Slurm, this command is run on a machine that sees the same folders as the nodes, and mistakes in the configuration and the data are found now, not after hours in a queue. For Kubernetes, paths of the data are those that the pods see, relative to --mount.',
  ],
  arguments: {
    system: { description: 'which cluster', required: true, choices: ['slurm', 'kubernetes'] },
    recipe: { description: 'name of a recipe, or a .ts, .js or .json file' },
    data: { description: 'files, folders or globs of text', many: true },
  },
  options: launchOptions,
  examples: [
    {
      line: 'hearth launch slurm ember books/ --machines 4 --workers 2 --time 24:00:00 --submit',
      does: 'Four nodes of Slurm',
    },
    { line: 'hearth launch slurm --resume runs/ember --machines 8 --submit', does: 'Go on with a run, on more nodes' },
    {
      line: 'hearth launch kubernetes ember books/ --machines 4 --image my/hearth:1 --claim shared',
      does: 'Write the manifests of four pods, to look at them first',
    },
  ],
  async run({ arguments: { system, recipe, data }, options, terminal }) {
    const { machines, workers, port, etcd, grace, cpus, memory } = options
    const isSlurm = system === 'slurm'
    refuseForeign(options, isSlurm)
    const plan = await planRun({ ...options, recipe, data, mount: isSlurm ? undefined : options.mount })
    const { name, run, config } = plan
    const minimumHosts = options.minHosts ?? (etcd === undefined ? Math.floor(machines / 2) + 1 : 1)
    const { checkSharing } = await import('hearth/train')
    const hosts = Array.from({ length: machines }, (_, i) => ({ name: `machine ${i}`, address: `machine ${i}` }))
    checkSharing(config, { hosts, workers, minimumHosts })
    const job: Job = { name, run, machines, workers, minimumHosts, port, etcd, grace, cpus, memory }
    const text = plan.isNew ? `${JSON.stringify(config, undefined, 2)}\n` : undefined
    const asked = { ...options, more: options.sbatch, folder: options.out ?? join('jobs', name), config: text }
    const kind = options.as === 'jobset' ? 'jobset' : 'job'
    const { files, submitted } = isSlurm
      ? writeSlurmJob(job, asked)
      : await writeKubernetesJob(job, { ...asked, kind, command: options.command.split(' ') })
    if (options.json) {
      terminal.json({ files, ...(submitted !== undefined && { submitted }) })
      return
    }
    files.forEach((file) => terminal.print(shortPath(file)))
    const how = `Submit it with:\n  ${isSlurm ? 'sbatch' : 'kubectl apply -f'} ${shortPath(files[0]!)}`
    terminal.print(submitted === undefined ? how : `Submitted: ${submitted}`)
    if (isSlurm) terminal.note(`What becomes of it: ${commandLine('runs', 'show', shortPath(run))}`)
  },
})

/** Options of the other system would go unheard. */
function refuseForeign(options: Readonly<Record<string, unknown>>, isSlurm: boolean): void {
  const foreign = isSlurm ? ['image', 'claim', 'namespace'] : ['time', 'partition', 'account', 'sbatch']
  const given = foreign.filter((name) => options[name] !== undefined && (options[name] as string | string[]).length > 0)
  const problems = given.map((name) => `--${name} is for ${isSlurm ? 'Kubernetes' : 'Slurm'}`)
  if (problems.length > 0) throw new UsageError(problems, 'launch')
}
