// From the configuration of a diffusers folder to a scheduler: the class by its name, with the defaults of that class.
import { ConfigError } from '@hearth/torch'
import { readSchedulerConfig, type SchedulerConfig, type SchedulerConfigInput } from './config.js'
import { ddim } from './ddim.js'
import { euler } from './euler.js'
import type { Scheduler, Trajectory } from './scheduler.js'

interface Kind {
  create: (config: SchedulerConfig, trajectory: Trajectory) => Scheduler
  /** What this class assumes where others assume something else. */
  defaults: SchedulerConfigInput
}

const linspace = { timestep_spacing: 'linspace' } as const

const kinds = {
  DDIMScheduler: { create: ddim, defaults: { clip_sample: true } },
  EulerDiscreteScheduler: { create: euler, defaults: linspace },
} satisfies Record<string, Kind>

/** diffusers' name of a scheduler. */
export type SchedulerName = keyof typeof kinds

/** The schedulers that there are, by diffusers' names. */
export const schedulerNames = Object.keys(kinds) as SchedulerName[]

/**
 * A scheduler for one trajectory.
 *
 * @param json scheduler_config.json, or fields under its names; `_class_name` is the scheduler unless `name` is given
 * @param trajectory how many steps, and what some schedulers need besides
 * @throws ConfigError for an unknown scheduler, a wrong field, or steps that do not fit
 * @example
 * const scheduler = createScheduler(json, { steps: 20 }, 'EulerDiscreteScheduler')
 * let sample = noise.mul(scheduler.initNoiseSigma)
 * scheduler.timesteps.forEach((time, i) => {
 *   sample = scheduler.step(model(scheduler.scaleModelInput(sample, i), time), i, sample)
 * })
 */
export function createScheduler(json: unknown, trajectory: Trajectory, name?: string): Scheduler {
  const wanted = (name ?? (json as { _class_name?: unknown } | null)?._class_name ?? 'nothing') as SchedulerName
  const kind = Object.hasOwn(kinds, wanted) ? (kinds[wanted] as Kind) : undefined
  if (kind === undefined)
    throw new ConfigError('scheduler_config.json', [
      { path: '_class_name', message: `${wanted} is not known; known are ${schedulerNames.join(', ')}` },
    ])
  return kind.create(readSchedulerConfig(json, kind.defaults), trajectory)
}
