// hearth/plan: what a training will take before it starts, and the largest model that a budget reaches.
export { catalogue } from './catalogue.js'
export { ceilingCurve, ceilingFor, goalsOf, type Ceiling, type Goal, type Limit, type Means } from './ceiling.js'
export {
  deviceHours,
  flopConventions,
  OPTIMAL_TOKENS_PER_PARAMETER,
  trainingFlops,
  utilisation,
  type CountedParameters,
} from './compute.js'
export { diffusionTransformerNames, patchesOf } from './diffusion-transformer.js'
export { short, type Figure } from './figure.js'
export { planTraining, type Plan, type PlanRequest } from './forward.js'
export { bestInterval, goodput, meanTimeBetween, youngInterval, type Breakdowns } from './goodput.js'
export { findHardware, hardwareFields, readCatalogue, type Hardware } from './hardware.js'
export { candidatesFor, bestOf, type Candidate, type StepTime, type Training } from './layouts.js'
export { leversFor, type Lever } from './levers.js'
export { planCeilings, readMeans, type LiftedCeiling, type MeansInput } from './means.js'
export { memoryHere } from './memory-here.js'
export { memoryOf, runningMemory, type Layout, type MemoryOptions, type MemoryParts, type Method } from './memory.js'
export { exchangeSeconds, lowCommunicationShare, type Exchange } from './network.js'
export { countTensors, findModel, plannedModel, type PlannedModel } from './planned-model.js'
export { readPlan, type PlanInput } from './request.js'
export { simulate, simulateHistory, type History, type SimulatedJob, type Spread } from './simulate.js'
