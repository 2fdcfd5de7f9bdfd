// Writes a job for Slurm into a folder, and submits it.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError } from '../failure.js'
import type { Job } from './job.js'
import { SLURM_FILES, slurmScript, type SlurmOptions } from './slurm.js'
import { askCluster } from './submit.js'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))

export interface WrittenJob {
  files: string[]
  /** The cluster's own name of the job, when it was submitted. */
  submitted?: string
}

type Asked = Pick<SlurmOptions, 'time' | 'partition' | 'account' | 'more'> & {
  /** Text of the configuration; undefined for a run that is there. */
  config: string | undefined
  folder: string
  submit: boolean
}

export function writeSlurmJob(job: Job, { config, folder, submit, ...asked }: Asked): WrittenJob {
  const at = resolve(folder)
  // What bash and Slurm would take apart.
  if (!/^[\w./@+-]+$/.test(at))
    throw new CommandError(`Slurm cannot have a job in ${at}`, 'choose a folder without spaces and signs: --out DIR')
  mkdirSync(at, { recursive: true })
  const script = join(at, SLURM_FILES.script)
  const command = [process.execPath, MAIN]
  const text = slurmScript(job, { ...asked, folder: at, cwd: process.cwd(), command, makes: config !== undefined })
  writeFileSync(script, text)
  chmodSync(script, 0o755)
  const files = [script]
  if (config !== undefined) {
    files.push(join(at, SLURM_FILES.config))
    writeFileSync(files[1]!, config)
  }
  if (!submit) return { files }
  return { files, submitted: askCluster(['sbatch', '--parsable', script]) }
}
