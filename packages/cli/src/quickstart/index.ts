// The quickstart: a plan that fits the time, and what is said at its end. Loads libtorch.
export { planQuickstart, type QuickstartPlan } from './plan.js'
export { measureLearned, printLearned, printNext, speak, type Learned } from './results.js'
export { secondsPerStep } from './speed.js'
