// From the run's configuration to the optimizer and the learning rate it names. The rules themselves are in optim/.
import { createHash } from 'node:crypto'
import { type DType } from '@hearth/torch'
import { hashCounters } from '../data/index.js'
import { adamw, muon, schedule, sgd, withBfloat16Weights, type Optimizer, type Schedule } from '../optim/index.js'
import { totalStepsAt, type RunChange } from './changes.js'
import type { RunConfig } from './config.js'

/** @param dtype arithmetic of Muon's Newton-Schulz steps: part of the run, so that it resumes with the same bits */
export function optimizerOf(config: RunConfig, dtype: DType): Optimizer {
  const rule = ruleOf(config, dtype)
  if (config.weights === 'float32') return rule
  return withBfloat16Weights(rule, { seedOf: (step, path) => hashCounters(config.seed, step, numberOf(path)) })
}

const numberOf = (path: string): number => createHash('sha256').update(path).digest().readUIntBE(0, 6)

function ruleOf(config: RunConfig, dtype: DType): Optimizer {
  const { name, learningRate, muonLearningRate, weightDecay, beta1, beta2, eps, momentum, moments } = config.optimizer
  const groups = [{ match: /(^|\.)embed\.weight$/, learningRateScale: config.optimizer.embeddingLearningRateScale }]
  const ofAdamw = { betas: [beta1, beta2] as [number, number], eps, weightDecay, groups, ...(moments && { moments }) }
  if (name === 'sgd') return sgd({ momentum, weightDecay, groups })
  if (name === 'adamw') return adamw(ofAdamw)
  return muon({
    momentum,
    weightDecay,
    dtype: dtype === 'bfloat16' ? 'bfloat16' : 'float32',
    matrixLearningRateScale: muonLearningRate / learningRate,
    adamw: ofAdamw,
  })
}

export function scheduleOf(config: RunConfig): Schedule {
  const { kind, warmupSteps, minRatio, decayFraction } = config.schedule
  const common = { peak: config.optimizer.learningRate, warmupSteps, totalSteps: config.steps }
  if (kind === 'constant') return schedule({ kind, ...common })
  return schedule(kind === 'wsd' ? { kind, ...common, minRatio, decayFraction } : { kind, ...common, minRatio })
}

/** The schedule of a run whose total of steps was changed on the way: steps before a change keep their learning rate. */
export function scheduleOfRun(config: RunConfig, changes: readonly RunChange[]): Schedule {
  return (step) => scheduleOf({ ...config, steps: totalStepsAt(step, config, changes) })(step)
}
