// hearth/train: the trainer, what it minimises, and runs as folders.
export type { RunChange } from './changes.js'
export { checksBesideText } from './check-run.js'
export { restoreRun } from './copies/restore-run.js'
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
export { readLastMetrics, readMetrics, type Metrics, type StepMetrics } from './metrics.js'
export { readRunRows } from './row-data.js'
export { answers, dpo, kto, logProbabilities, orpo, type RowLoss } from './row-objectives.js'
export { trainedPart, type TrainedPart } from './trained-part.js'
export type { AdaptConfig } from './adapt-config.js'
export { idsOf, nextToken, type LossContext, type Objective } from './objective.js'
export { optimizerOf, scheduleOf } from './optimizer.js'
export { listRuns, type RunSummary } from './run-folder-list.js'
export type { Measured, RunLog, RunLogOptions } from './run-folder-log.js'
export { createRun, openRun, readRun, runPaths, type Run, type RunRecord } from './run-folder.js'
export { loadCheckpointModel, type CheckpointModel, type CheckpointModelOptions } from './run-model.js'
export { DEFAULT_JUDGE, Judge, TrainingError, type JudgeOptions, type JudgeState, type Verdict } from './judge.js'
export { keepActivations, Segments, type RunBlock } from './segments.js'
export type { StepBatches } from './slots.js'
export { Trainer, type Step, type TrainerOptions, type TrainerState } from './trainer.js'
export { runHooks, type Hook } from './hooks.js'
export {
  checkSharing,
  identityOf,
  joinRun,
  type Host,
  type JoinResult,
  type JoinRunOptions,
  type Sharing,
} from './machines/join-run.js'
export { sharingIssues, slotRanges } from './machines/slot-ranges.js'
export {
  computeDtype,
  checkNewRun,
  prepareRun,
  resumeRun,
  startRun,
  type ResumeOptions,
  type RunOptions,
  type Sampler,
} from './run.js'
export type { Report, RunEvent, RunPhase, RunResult } from './run-events.js'
export { drill, type CrewReport, type DrillOptions, type DrillReport } from './drill/drill.js'
export { FAULT_MEANINGS, type FaultKind } from './drill/faults.js'
export type { FaultRow, Quantiles } from './drill/record.js'
export { readEvents, type RunTrouble } from './event-log.js'
export { shardLayout, type ShardLayout, type Shapes } from './sharded/layout.js'
export type { RankOptions } from './sharded/shard-folder.js'
export { memoryPerWorker, type MemoryOptions, type MemoryPerWorker } from './sharded/memory.js'
export { ShardState, type ShardStateOptions } from './sharded/shard-state.js'
export { ShardedTrainer, type ShardedTrainerOptions } from './sharded/sharded-trainer.js'
export { SHARDINGS, shardingIssues, type Offload, type Sharding } from './sharded/stages.js'
