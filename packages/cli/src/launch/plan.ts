// Which run a job is for: one to be made from a recipe, or one that is there. What can be seen to be wrong with it is said
// before anything is written.
import { existsSync } from 'node:fs'
import { basename, join, posix, resolve } from 'node:path'
import type { RunConfig } from 'hearth/train'
import { CommandError, UsageError } from '../failure.js'
import { locateRun } from '../locate.js'
import { slotsOf } from './job.js'

export interface Plan {
  name: string
  /** The run's folder, as the machines see it. */
  run: string
  config: RunConfig
  /** Whether the run is to be made. */
  isNew: boolean
}

export interface PlanAsked {
  recipe: string | undefined
  data: readonly string[]
  set: readonly string[]
  name: string | undefined
  runs: string
  resume: string | undefined
  machines: number
  workers: number
  /** Where pods see the runs; undefined when the machines see the folders of this one. */
  mount: string | undefined
}

/** @throws UsageError, ConfigError, DataError, CommandError */
export async function planRun(asked: PlanAsked): Promise<Plan> {
  const { recipe, data, set, resume } = asked
  if (resume === undefined) return await newRun(asked)
  if (recipe !== undefined || data.length > 0 || set.length > 0)
    throw new UsageError(['--resume takes the run as it is: no recipe, data or --set beside it'], 'launch')
  return asked.mount === undefined ? await runHere(resume) : podRun(asked)
}

async function newRun({ recipe, data, ...asked }: PlanAsked): Promise<Plan> {
  const { chooseRecipe } = await import('../recipe-file.js')
  const { applySettings } = await import('../settings.js')
  const { checkNewRun, resolveConfig } = await import('hearth/train')
  const { origin, config: chosen } = await chooseRecipe(recipe, data)
  const named = asked.name === undefined ? [] : [`name=${JSON.stringify(asked.name)}`]
  const slots = `slots=${slotsOf(asked.machines, asked.workers)}`
  const config = resolveConfig(applySettings(chosen, [slots, ...asked.set, ...named]), origin)
  const { name } = config
  if (asked.mount !== undefined) return { name, run: podFolder(asked, name), config, isNew: true }
  const run = resolve(asked.runs, name)
  if (existsSync(join(run, 'config.json')))
    throw new CommandError(`${run} holds a run already`, 'go on with it: --resume; or another name: --name NAME')
  await checkNewRun(run, config)
  return { name, run, config, isNew: true }
}

async function runHere(word: string): Promise<Plan> {
  const { readRun, resolveConfig } = await import('hearth/train')
  const run = resolve(locateRun(word))
  return { name: basename(run), run, config: resolveConfig(readRun(run).config, run), isNew: false }
}

/** A run that only pods can see: what it is, they find out. */
function podRun({ resume, ...asked }: PlanAsked): never {
  throw new UsageError(
    [
      `--resume ${resume!} is for Slurm; a job of Kubernetes goes on with the run ${podFolder(asked, resume!)} ` +
        'when its file is submitted once more: kubectl replace --force --filename jobs/NAME/job.yaml',
    ],
    'launch',
  )
}

const podFolder = ({ mount, runs }: Pick<PlanAsked, 'mount' | 'runs'>, name: string) => posix.join(mount!, runs, name)
