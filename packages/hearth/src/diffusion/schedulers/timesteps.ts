// Which times of training a trajectory of n steps visits, latest first: the three spacings of Lin et al. 2023, table 2,
// with the rounding that diffusers gives them.
import { ConfigError } from '@hearth/torch'
import type { SchedulerConfig } from './config.js'
import { linspace } from './noise-schedule.js'

/** To the nearest whole number, halves to the even one. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x)
  if (x - below !== 0.5) return Math.round(x)
  return below % 2 === 0 ? below : below + 1
}

/** n times evenly spaced over training's, for schedulers whose time is whole unless `whole` is false. */
export function spacedTimesteps(config: SchedulerConfig, steps: number, whole = true): number[] {
  const { num_train_timesteps: count, steps_offset: offset, timestep_spacing: spacing } = config
  checkSteps(config, steps)
  if (spacing === 'linspace') {
    const times = linspace(0, count - 1, steps).reverse()
    return whole ? times.map(roundHalfEven) : times
  }
  if (spacing === 'trailing')
    return Array.from({ length: steps }, (_, i) => roundHalfEven(count - (i * count) / steps) - 1)
  const stride = Math.floor(count / steps)
  return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride + offset)
}

/** @throws ConfigError where there are more steps than times, or none, or they begin after training's last time */
function checkSteps(config: SchedulerConfig, steps: number): void {
  const { num_train_timesteps: count, steps_offset: offset } = config
  if (!Number.isInteger(steps) || steps < 1 || steps > count)
    throw new ConfigError('scheduler', [
      { path: 'steps', message: `must be a whole number from 1 to ${count} (num_train_timesteps), got ${steps}` },
    ])
  const latest = (steps - 1) * Math.floor(count / steps) + offset
  if (config.timestep_spacing === 'leading' && latest >= count)
    throw new ConfigError('scheduler', [
      {
        path: 'steps',
        message: `${steps} steps with steps_offset ${offset} begin at time ${latest}, after the last of training (${count - 1})`,
      },
    ])
}
