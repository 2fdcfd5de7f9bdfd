// hearth/diffusion: noise schedules and the schedulers that walk from noise to a picture. Not the models that predict
// the noise, and not the pipeline around both.
export { readSchedulerConfig, type SchedulerConfig, type SchedulerConfigInput } from './schedulers/config.js'
export { createScheduler, schedulerNames, type SchedulerName } from './schedulers/create.js'
export { alphasCumprod, betasOf } from './schedulers/noise-schedule.js'
export type { Scheduler, Trajectory } from './schedulers/scheduler.js'
