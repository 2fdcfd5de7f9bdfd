// How large it can be, as a person reads it.
import { short, type Goal, type LiftedCeiling, type Means, type Plan } from 'hearth/plan'
import { formatCount } from '../format.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'
import { formatHours, formatMoney } from './print.js'

const GOALS: Readonly<Record<Goal, string>> = {
  train: 'trained from scratch, 20 tokens a parameter',
  'train-tokens': 'trained from scratch on --tokens',
  full: 'fine-tuned, all of it, on 10M tokens',
  lora: 'adapted by LoRA on 10M tokens',
  qlora: 'adapted by QLoRA on 10M tokens',
  run: 'run in 16 bits',
  'run-int8': 'run in 8 bits',
  'run-int4': 'run in 4 bits',
}

const LIMITS = { memory: 'memory', money: 'money', time: 'time', ladder: 'none found' } as const
/** Levers that are shown of each ceiling. */
const SHOWN = 3

export function printCeilings(ceilings: readonly LiftedCeiling[], means: Means, terminal: Terminal): void {
  const { bold, dim } = terminal.colors
  const { hardware, hardwareName, input } = means
  terminal.print(bold(`The largest model for ${meansWords(means)} on ${input.devices} × ${hardwareName}`))
  const head = ['to be', 'parameters', 'shape', 'tokens', 'time', 'money', 'limit']
  terminal.print(table(ceilings.map(rowOf), head))
  terminal.print(bold('\nWhat would lift it most'))
  for (const { goal, levers } of ceilings) {
    terminal.print(`  ${GOALS[goal]}`)
    if (levers.length === 0) terminal.print(dim('    nothing of what was tried'))
    for (const { change, kind, ratio, parameters } of levers.slice(0, SHOWN))
      terminal.print(`    × ${ratio.toFixed(2)}  ${change} ${dim(`(${kind}; ${formatCount(parameters)})`)}`)
  }
  terminal.print(bold('\nConventions'))
  const price = input.price ?? hardware.price
  for (const line of [
    'Shapes are LLaMA’s form, LAYERSxWIDTH: `hearth plan SHAPE` plans one in full.',
    '20 tokens a parameter is the compute-optimal share of Hoffmann et al. 2022 (table 3, first approach).',
    `A sample has ${input.context ?? 2048} tokens; efficiency ${input.efficiency ?? hardware.efficiency}; ${price === undefined ? 'no price is known' : `${price} for a device and hour (${input.price === undefined ? (hardware.priceBasis ?? 'catalogue') : 'given'})`}.`,
    ...(means.budget === undefined ? [] : ['Devices without a price in the catalogue are not compared with.']),
    'Each change is tried alone, everything else as it is; sharding, checkpointing and offload are always chosen anew.',
  ])
    terminal.print(dim(`  ${line}`))
}

function meansWords({ budget, days }: Pick<Means, 'budget' | 'days'>): string {
  const parts = [
    budget === undefined ? '' : `${formatMoney(budget)} of money`,
    days === undefined ? '' : `${days} days`,
  ]
  return parts.filter((part) => part !== '').join(' and ')
}

function rowOf({ goal, largest, limit }: LiftedCeiling): string[] {
  if (largest === undefined) return [GOALS[goal], 'none fits', '', '', '', '', LIMITS[limit]]
  const { parameters, shape, tokens, hours, money } = largest
  const runs = tokens === 0
  return [
    GOALS[goal],
    formatCount(parameters),
    shape,
    runs ? '' : short(tokens),
    runs ? '' : formatHours(hours),
    money === undefined || runs ? '' : formatMoney(money),
    LIMITS[limit],
  ]
}

/** Whether a plan is within what there is. */
export function printMeans(plan: Plan, { budget, days }: Pick<Means, 'budget' | 'days'>, terminal: Terminal): void {
  const { red, green } = terminal.colors
  const says = (fine: boolean, text: string) => terminal.print((fine ? green : red)(text))
  if (budget !== undefined && plan.money !== undefined)
    says(plan.money <= budget, `${formatMoney(plan.money)} of a budget of ${formatMoney(budget)}`)
  if (days !== undefined) says(plan.hours <= days * 24, `${formatHours(plan.hours)} of ${days} days`)
}
