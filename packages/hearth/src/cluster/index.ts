// hearth/cluster: processes that work together, and go on when one of them does not.
export { Crew, type CrewEffect, type CrewOptions, type Place } from './crew.js'
export { Deadlines, type DeadlineOptions } from './deadlines.js'
export { type FromWorker, type InjectedFault, type ToWorker } from './messages.js'
export { Pace, type SlowWorker } from './pace.js'
export { CrewError, Supervisor, type CrewEvent, type SupervisorOptions } from './supervisor.js'
export { serveTasks, type TaskHandlers } from './task-process.js'
export * from './membership/index.js'
