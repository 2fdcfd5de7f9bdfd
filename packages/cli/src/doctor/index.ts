// The examination of a machine: what was found, what was measured, what is slow. Loads libtorch.
export { adviseOn, type Advice } from './advice.js'
export { describeEngine, describeMachine, type Engine, type Machine } from './machine.js'
export { measureMachine, type Measurements } from './measure.js'
