// Periodic work around the steps: a hook is `{ every, run }`. Evaluation, samples and checkpoints are hooks; the trainer
// knows none of them.
import type { Step } from './trainer.js'

export interface Hook {
  /** Runs after every step whose number this divides; 0 for never. */
  every: number
  run(step: Step): Promise<void> | void
}

/** Runs the hooks that are due after a step, in their order. */
export async function runHooks(hooks: readonly Hook[], step: Step): Promise<void> {
  for (const hook of hooks) if (hook.every > 0 && step.number % hook.every === 0) await hook.run(step)
}
