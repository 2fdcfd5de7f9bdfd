// From what a person has, on a line or in a page, to means that ceilingFor() takes; all that is wrong is said at once.
import { ConfigError, type ConfigIssue } from '@hearth/torch'
import { catalogue as ours } from './catalogue.js'
import { ceilingFor, goalsOf, type Ceiling, type Means } from './ceiling.js'
import { findHardware, type Hardware } from './hardware.js'
import { leversFor, type Lever } from './levers.js'
import { readNumbers, told, type PlanInput } from './request.js'

export type MeansInput = Omit<PlanInput, 'model'> & { budget?: number | undefined; days?: number | undefined }

/** @throws ConfigError with everything that is wrong */
export function readMeans(input: MeansInput, devices: Readonly<Record<string, Hardware>> = ours): Means {
  const { hardware: hardwareName = 'a100-80gb', budget, days, ...numbers } = input
  const issues: ConfigIssue[] = []
  const hardware = told(issues, 'hardware', () => findHardware(hardwareName, devices))
  const read = readNumbers(numbers, issues)
  for (const [path, value] of Object.entries({ budget, days }))
    if (value !== undefined && !(Number.isFinite(value) && value > 0))
      issues.push({ path, message: `must be above 0, got ${value}: with nothing, nothing can be trained` })
  if (budget === undefined && days === undefined)
    issues.push({ path: 'budget', message: 'say how much money (budget) or time (days) there is, or both' })
  if (
    budget !== undefined &&
    hardware &&
    read &&
    [hardware.price, read.price, read.electricity].every((price) => price === undefined)
  )
    issues.push({
      path: 'price',
      message: `${hardwareName} has none in the catalogue, so the money buys no known time: give it`,
    })
  if (issues.length > 0 || !hardware || !read) throw new ConfigError('plan', issues)
  return { hardware, hardwareName, budget, days, input: read }
}

/** A ceiling with what would lift it. */
export interface LiftedCeiling extends Ceiling {
  levers: readonly Lever[]
}

/** Every goal's ceiling, each with its levers. */
export function planCeilings(means: Means, devices: Readonly<Record<string, Hardware>> = ours): LiftedCeiling[] {
  return goalsOf(means).map((goal) => {
    const ceiling = ceilingFor(goal, means)
    return { ...ceiling, levers: leversFor(ceiling, means, devices) }
  })
}
