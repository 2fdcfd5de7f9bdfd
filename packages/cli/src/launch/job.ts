// What a job of a cluster is to do, whichever system runs it: one `hearth member` on each machine until the run is done.
// Not here: how a job is written for Slurm (slurm.ts) and Kubernetes (kubernetes.ts).

export interface Job {
  /** Of the run and of the job. */
  name: string
  /** The run's folder, as the machines see it. */
  run: string
  machines: number
  workers: number
  /** Machines without which the run waits. */
  minimumHosts: number
  port: number
  /** Endpoints of etcd, where the machines meet there. */
  etcd: string | undefined
  /** Seconds between the word that a machine is needed and its end. */
  grace: number
  /** For each machine; what the cluster gives when undefined. */
  cpus: number | undefined
  memory: string | undefined
}

/** Files of a job as the machines see them. */
export interface JobFiles {
  /** Undefined for a run that is there. */
  config: string | undefined
  secret: string
}

/** The words of `hearth member` after its own name; the hosts are put in by the system. */
export function memberWords(job: Job, hosts: string, files: JobFiles): string[] {
  return [
    ...['member', job.run, '--hosts', hosts],
    ...['--workers', String(job.workers), '--min-hosts', String(job.minimumHosts)],
    ...['--port', String(job.port), '--secret-file', files.secret],
    ...(job.etcd === undefined ? [] : ['--etcd', job.etcd]),
    ...(files.config === undefined ? [] : ['--config', files.config]),
  ]
}

/** The smallest power of two of gradient slots that gives each worker one. */
export const slotsOf = (machines: number, workers: number): number => 2 ** Math.ceil(Math.log2(machines * workers))
