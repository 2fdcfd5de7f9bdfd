// Which one change lifts a ceiling most: purchases and settings are tried one by one, everything else as it is.
import { ceilingFor, type Ceiling, type Goal, type Means } from './ceiling.js'
import type { Hardware } from './hardware.js'

export interface Lever {
  kind: 'purchase' | 'setting'
  change: string
  /** Parameters of the largest model with it. */
  parameters: number
  /** Over those without. */
  ratio: number
}

type Change = Pick<Lever, 'kind' | 'change'> & { means: Means }

/** Changes that lift it by less are not worth a line. */
const LEAST = 1.02

/** All changes that lift the ceiling, the best first. */
export function leversFor(ceiling: Ceiling, means: Means, devices: Readonly<Record<string, Hardware>>): Lever[] {
  const before = ceiling.largest?.parameters ?? 0
  return [...purchases(means), ...otherDevices(means, devices), ...settings(ceiling.goal, means)]
    .map(({ kind, change, means: changed }) => {
      const parameters = ceilingFor(ceiling.goal, changed).largest?.parameters ?? 0
      return { kind, change, parameters, ratio: before === 0 ? (parameters === 0 ? 0 : Infinity) : parameters / before }
    })
    .filter(({ ratio }) => ratio >= LEAST)
    .sort((a, b) => b.ratio - a.ratio)
}

const withInput = (means: Means, input: Partial<Means['input']>): Means => ({
  ...means,
  input: { ...means.input, ...input },
})
const withHardware = (means: Means, hardware: Partial<Hardware>): Means => ({
  ...means,
  hardware: { ...means.hardware, ...hardware },
})

function purchases(means: Means): Change[] {
  const { hardware, hardwareName, budget, days, input } = means
  const bought = (change: string, changed: Means): Change => ({ kind: 'purchase', change, means: changed })
  const network = (input.network ?? hardware.network) * 10
  return [
    bought(
      `twice the devices: ${2 * input.devices} × ${hardwareName}`,
      withInput(means, { devices: 2 * input.devices }),
    ),
    ...(budget === undefined ? [] : [bought('twice the money', { ...means, budget: 2 * budget })]),
    ...(days === undefined ? [] : [bought('twice the days', { ...means, days: 2 * days })]),
    ...(input.devices > hardware.perMachine
      ? [bought('a network ten times as fast', withInput(means, { network }))]
      : []),
    bought('twice the memory of the machine', withHardware(means, { hostMemory: 2 * hardware.hostMemory })),
  ]
}

/** As many of another kind, at their own price; where money counts, those without one cannot be compared. */
function otherDevices(means: Means, devices: Readonly<Record<string, Hardware>>): Change[] {
  if (means.hardware.kind === 'processor') return []
  const { price: _, efficiency: __, ...input } = means.input
  return Object.entries(devices)
    .filter(([name, { kind, price }]) => {
      const comparable = means.budget === undefined || price !== undefined
      return name !== means.hardwareName && kind !== 'processor' && comparable
    })
    .map(([hardwareName, hardware]) => ({
      kind: 'purchase',
      change: `${hardwareName} in place of ${means.hardwareName}`,
      means: { ...means, input, hardware, hardwareName },
    }))
}

function settings(goal: Goal, means: Means): Change[] {
  const { hardware, input } = means
  const set = (change: string, changed: Means): Change => ({ kind: 'setting', change, means: changed })
  const context = Math.min(input.context ?? 2048, 4096) / 2
  const shorter = set(`samples of ${context} tokens`, withInput(means, { context }))
  if (goal.startsWith('run')) return [shorter]
  const efficiency = Math.min(1, (input.efficiency ?? hardware.efficiency) * 1.2)
  const exchange = set('weights exchanged every 100 steps alone', withInput(means, { exchangeEvery: 100 }))
  const restart = set('back after a tenth of the time', withInput(means, { restart: (input.restart ?? 600) / 10 }))
  return [
    ...(context >= 1 ? [shorter] : []),
    set(`code that reaches ${(efficiency * 100).toFixed(0)} % of the peak`, withInput(means, { efficiency })),
    ...(input.devices > hardware.perMachine && input.exchangeEvery === undefined ? [exchange] : []),
    restart,
  ]
}
