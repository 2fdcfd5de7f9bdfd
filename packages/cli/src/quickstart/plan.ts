// What the quickstart trains in the time that is given: the recipe with as many steps as fit, under a name that is free.
import { quickstart } from '@hearth/recipes'
import { resolveConfig, type RunConfig } from 'hearth/train'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { applySettings } from '../settings.js'
import { secondsPerStep } from './speed.js'

/** Tokenizer, tokens, measuring and the sample, in seconds on two cores: what training cannot have. */
const OTHER_WORK_SECONDS = 70
/** Checkpoints and measurements between the steps. */
const SHARE_BETWEEN_STEPS = 0.06
const FEWEST_STEPS = 20

export interface QuickstartPlan {
  config: RunConfig
  dir: string
  secondsPerStep: number
}

/**
 * Measures a few steps on this machine, and plans for the time.
 * @param minutes for everything
 * @param settings as `--set` takes them; `steps=N` is taken as it is
 */
export async function planQuickstart(
  minutes: number,
  runs: string,
  settings: readonly string[],
): Promise<QuickstartPlan> {
  const name = freeName(runs, 'quickstart')
  const wanted = resolveConfig(applySettings(quickstart(), [`name="${name}"`, ...settings]), 'quickstart')
  const seconds = await secondsPerStep(wanted)
  const fitting = Math.floor(((minutes * 60 - OTHER_WORK_SECONDS) * (1 - SHARE_BETWEEN_STEPS)) / seconds)
  const chosen = settings.some((setting) => setting.startsWith('steps='))
  const steps = chosen ? wanted.steps : Math.max(FEWEST_STEPS, Math.min(wanted.steps, fitting))
  // A short run warms up in a tenth of its steps at most.
  const warmupSteps = Math.min(wanted.schedule.warmupSteps, Math.floor(steps / 10))
  const config = { ...wanted, steps, schedule: { ...wanted.schedule, warmupSteps } }
  return { config, dir: join(runs, name), secondsPerStep: seconds }
}

/** `quickstart`, or `quickstart-2` and so on where that exists. */
function freeName(runs: string, name: string): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? name : `${name}-${number}`
    if (!existsSync(join(runs, candidate))) return candidate
  }
}
