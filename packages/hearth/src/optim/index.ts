// Optimizers, clipping and learning rates: pure functions of named tensors and of the step.
export { adamw, adamwIssues, type AdamwSettings, type Moments } from './adamw.js'
export { withBfloat16Weights } from './bfloat16-weights.js'
export { clipGradients, clipScale, gradientNorm, NORM_CHUNK, normOf, squaredNorms } from './clipping.js'
export { muon, muonIssues, orthogonalize, type MuonSettings } from './muon.js'
export type { Optimizer, OptimizerState, ParameterGroup, UpdateOptions } from './optimizer.js'
export { schedule, scheduleIssues, type Schedule, type ScheduleSettings } from './schedules.js'
export { sgd, sgdIssues, type SgdSettings } from './sgd.js'
