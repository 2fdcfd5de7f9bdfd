// Jobs for clusters: what they are to do, how they are written for each system, and how they are given to it.
export { type Job } from './job.js'
export { launchOptions } from './options.js'
export { planRun, type Plan } from './plan.js'
export { writeKubernetesJob } from './write-kubernetes.js'
export { writeSlurmJob } from './write-slurm.js'
