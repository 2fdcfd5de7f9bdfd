// The learning rate as a pure function of the step: nothing to save, nothing to resume.
// Steps count from 0. All kinds rise linearly over the warm-up: peak · (step + 1) / warmupSteps.
import { ConfigError, type ConfigIssue } from '@hearth/torch'
import { expectSetting } from './optimizer.js'

/** Learning rate of a step, counted from 0. */
export type Schedule = (step: number) => number

interface Common {
  /** Highest learning rate, reached at the end of the warm-up. */
  peak: number
  /** @default 0 */
  warmupSteps?: number
}

interface Decaying extends Common {
  /** Steps of the whole run, warm-up included; the rate stays at its floor from there on. */
  totalSteps: number
  /** Last rate as a share of the peak. @default 0 */
  minRatio?: number
}

/** Plain data, so that it can stand in a run's configuration. */
export type ScheduleSettings =
  | (Common & { kind: 'constant'; totalSteps?: number })
  | (Decaying & { kind: 'cosine' | 'linear' })
  | (Decaying & {
      /** Warmup-stable-decay: at the peak until the last `decayFraction` of the run. */
      kind: 'wsd'
      /** @default 0.2 */
      decayFraction?: number
      /** `sqrt` comes down as 1 - √p (Hägele et al., 2024). @default 'linear' */
      decay?: 'linear' | 'sqrt'
    })

/** Share of the way from peak to floor that is left after share `p` of the decay. */
const REMAINING = {
  cosine: (p: number) => (1 + Math.cos(Math.PI * p)) / 2,
  linear: (p: number) => 1 - p,
  sqrt: (p: number) => 1 - Math.sqrt(p),
}

const decaySteps = (settings: { totalSteps: number; decayFraction?: number }): number =>
  Math.max(1, Math.round((settings.decayFraction ?? 0.2) * settings.totalSteps))

/**
 * The schedule of the settings.
 * @throws ConfigError listing every setting that is out of range
 * @example
 * const learningRate = schedule({ kind: 'cosine', peak: 6e-4, warmupSteps: 100, totalSteps: 5000, minRatio: 0.1 })
 * learningRate(0) // 6e-6
 */
export function schedule(settings: ScheduleSettings): Schedule {
  const issues = scheduleIssues(settings)
  if (issues.length > 0) throw new ConfigError('learning rate schedule', issues)
  const { peak, warmupSteps = 0 } = settings
  const after = afterWarmup(settings)
  return (step) => (step < warmupSteps ? (peak * (step + 1)) / warmupSteps : after(step))
}

function afterWarmup(settings: ScheduleSettings): Schedule {
  const { peak, warmupSteps = 0 } = settings
  if (settings.kind === 'constant') return () => peak
  const { totalSteps, minRatio = 0 } = settings
  const floor = minRatio * peak
  const span = settings.kind === 'wsd' ? decaySteps(settings) : totalSteps - warmupSteps
  const remaining = REMAINING[settings.kind === 'wsd' ? (settings.decay ?? 'linear') : settings.kind]
  return (step) => {
    const p = Math.min(1, Math.max(0, (step - (totalSteps - span)) / span))
    return floor + (peak - floor) * remaining(p)
  }
}

/** What is wrong with the settings, for configurations that report everything at once. */
export function scheduleIssues(settings: ScheduleSettings): ConfigIssue[] {
  const { peak, warmupSteps = 0 } = settings
  const kind: string = settings.kind // of a caller without types it may be anything
  const count = (x: number) => Number.isSafeInteger(x) && x >= 0
  if (!['constant', 'cosine', 'linear', 'wsd'].includes(kind))
    return [{ path: 'kind', message: `must be constant, cosine, linear or wsd, got ${kind}` }]
  const issues = [
    ...expectSetting('peak', peak, 'a number above 0', (x) => x > 0),
    ...expectSetting('warmupSteps', warmupSteps, 'an integer from 0', count),
  ]
  if (settings.kind !== 'constant')
    issues.push(...expectSetting('minRatio', settings.minRatio ?? 0, 'a number from 0 to 1', (x) => x >= 0 && x <= 1))
  if (settings.kind === 'wsd') issues.push(...decayIssues(settings))
  if (kind === 'constant' && settings.totalSteps === undefined) return issues
  const { totalSteps } = settings
  issues.push(...expectSetting('totalSteps', totalSteps, 'an integer from 1', (x) => count(x) && x >= 1))
  const overlong = { path: 'warmupSteps', message: `must be below totalSteps (${totalSteps}), got ${warmupSteps}` }
  return warmupSteps >= totalSteps! ? [...issues, overlong] : issues
}

function decayIssues(settings: ScheduleSettings & { kind: 'wsd' }): ConfigIssue[] {
  const { decayFraction = 0.2, warmupSteps = 0, totalSteps } = settings
  const decay: string = settings.decay ?? 'linear'
  const issues = expectSetting('decayFraction', decayFraction, 'above 0, to 1', (x) => x > 0 && x <= 1)
  if (decay !== 'linear' && decay !== 'sqrt')
    issues.push({ path: 'decay', message: `must be linear or sqrt, got ${decay}` })
  const span = decaySteps({ totalSteps, decayFraction })
  if (warmupSteps < totalSteps && warmupSteps + span > totalSteps)
    issues.push({
      path: 'decayFraction',
      message: `${span} steps of decay and ${warmupSteps} of warm-up do not fit into ${totalSteps}`,
    })
  return issues
}
