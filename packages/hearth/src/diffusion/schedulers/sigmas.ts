// Noise levels, for the schedulers that see a sample as picture + sigma × noise (Karras et al. 2022) instead of a mix of
// constant variance: sigma of each time, and Karras' spacing of levels.
import { HearthError } from '@hearth/torch'
import type { SchedulerConfig } from './config.js'
import { alphasAboveZero, linspace } from './noise-schedule.js'
import { spacedTimesteps } from './timesteps.js'

/** The steps of a trajectory: `sigmas` has one more than `timesteps`, the level it ends at. */
export interface SigmaSteps {
  timesteps: number[]
  sigmas: number[]
}

/** sigma of every time of training, rising. */
export function trainingSigmas(config: SchedulerConfig): number[] {
  return alphasAboveZero(config).map((alpha) => Math.sqrt((1 - alpha) / alpha))
}

/** values at a position between their places, by the straight line between neighbours. */
export function interpolate(position: number, values: readonly number[]): number {
  const below = Math.min(Math.max(Math.floor(position), 0), values.length - 1)
  const above = Math.min(below + 1, values.length - 1)
  return values[below]! + (values[above]! - values[below]!) * Math.min(Math.max(position - below, 0), 1)
}

/** Karras et al. 2022, equation 5, with rho = 7: n levels from the highest to the lowest. */
export function karrasSigmas(highest: number, lowest: number, steps: number): number[] {
  const rho = 7
  return linspace(highest ** (1 / rho), lowest ** (1 / rho), steps).map((root) => root ** rho)
}

/** The time of training with this noise level: the place of log sigma among the logarithms of all, between neighbours. */
export function timeOfSigma(sigma: number, trained: readonly number[]): number {
  const log = Math.log(Math.max(sigma, 1e-10))
  let below = trained.findLastIndex((level) => Math.log(level) <= log)
  below = Math.min(Math.max(below, 0), trained.length - 2)
  const [low, high] = [Math.log(trained[below]!), Math.log(trained[below + 1]!)]
  return below + Math.min(Math.max((log - low) / (high - low), 0), 1)
}

/** The level that a trajectory ends at. */
export function finalSigma(config: SchedulerConfig): number {
  return config.final_sigmas_type === 'zero' ? 0 : trainingSigmas(config)[0]!
}

/** Times and levels of Euler and its kin: `timestep_spacing`, then `use_karras_sigmas` between the ends of that. */
export function sigmaSteps(config: SchedulerConfig, steps: number): SigmaSteps {
  const trained = trainingSigmas(config)
  const times = spacedTimesteps(config, steps, false)
  const sigmas = times.map((time) => interpolate(time, trained))
  if (!config.use_karras_sigmas) return { timesteps: times, sigmas: [...sigmas, finalSigma(config)] }
  const spaced = karrasSigmas(sigmas[0]!, sigmas.at(-1)!, steps)
  return { timesteps: spaced.map((level) => timeOfSigma(level, trained)), sigmas: [...spaced, finalSigma(config)] }
}

/** Standard deviation that a trajectory begins with: the level itself, or with the picture's own variance where the spacing leaves the last times out. */
export function initialSigma(config: SchedulerConfig, sigmas: readonly number[]): number {
  const highest = Math.max(...sigmas)
  return config.timestep_spacing === 'leading' ? Math.sqrt(highest ** 2 + 1) : highest
}

/** The level of a time of this trajectory. @throws HearthError for another time */
export function sigmaAt({ timesteps, sigmas }: SigmaSteps, time: number): number {
  const place = timesteps.indexOf(time)
  if (place < 0)
    throw new HearthError(`the time ${time} is none of this trajectory's`, { remedy: 'take one out of its timesteps' })
  return sigmas[place]!
}
