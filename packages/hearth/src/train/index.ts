// hearth/train: the trainer, what it minimises, and runs as folders.
export {
  configFields,
  resolveConfig,
  runConfigSchema,
  suggestion,
  type ConfigField,
  type RunConfig,
  type RunConfigInput,
} from './config.js'
export { flopsPerToken, FLOP_CONVENTION, measurePeak, type FlopShape } from './flops.js'
export { heldOutLoss, type HeldOutLoss, type HeldOutOptions } from './held-out.js'
export { idsOf, nextToken, type LossContext, type Objective } from './objective.js'
export { optimizerOf, scheduleOf } from './optimizer.js'
export { keepActivations, Segments, type RunBlock } from './segments.js'
export { Trainer, type Step, type StepBatches, type TrainerOptions, type TrainerState } from './trainer.js'
