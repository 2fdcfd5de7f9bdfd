// A plan as a person reads it.
import { short, type Candidate, type Figure, type Plan } from 'hearth/plan'
import { formatCount } from '../format.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'

const GiB = 2 ** 30

/** Hours as days where they are many. */
export function formatHours(hours: number): string {
  if (!Number.isFinite(hours)) return 'never'
  if (hours < 1 / 60) return `${(hours * 3600).toFixed(1)} s`
  if (hours < 1) return `${(hours * 60).toFixed(1)} min`
  return hours < 72 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} days`
}

/** An amount of money without a currency: that of the prices. */
export const formatMoney = (money: number): string =>
  money.toLocaleString('en-US', { maximumFractionDigits: money < 100 ? 2 : 0 })

export function printPlan(plan: Plan, terminal: Terminal, explain: boolean): void {
  const { bold, dim, yellow } = terminal.colors
  const { model, devices, hardware } = plan
  terminal.print(
    `${bold(model.name)}  ${model.parameters.toLocaleString('en-US')} parameters in ${model.tensors} tensors, on ${devices} × ${hardware}`,
  )
  terminal.print(table(rowsOf(plan)))
  terminal.print(bold('\nWays to use the memory of a device'))
  terminal.print(
    table(
      plan.ways.map((way) => wayRow(way, plan)),
      ['', 'sharding', 'blocks', 'state', 'samples', 'GiB', 's/step'],
    ),
  )
  if (explain) terminal.print(`${bold('\nHow each figure came about')}\n${explanation(plan.figures)}`)
  terminal.print(bold('\nConventions'))
  for (const line of plan.conventions) terminal.print(dim(`  ${line}`))
  for (const note of plan.notes) terminal.print(yellow(`note: ${note}`))
}

function rowsOf(plan: Plan): [string, string][] {
  const { chosen, goodput, breakdowns, spread } = plan
  const share = (value: number) => `${(value * 100).toFixed(1)} %`
  const money = plan.money === undefined ? [] : ([['money', formatMoney(plan.money)]] as [string, string][])
  const lost = plan.lostMoney === undefined ? '' : `, ${formatMoney(plan.lostMoney)} of the money`
  return [
    ['fits', plan.fits ? `yes: ${wayWords(chosen)}` : 'no'],
    ['time', `${formatHours(plan.hours)}, ${short(plan.deviceHours)} device-hours`],
    ...money,
    ['energy', `${short(plan.energy)} kWh`],
    [
      'speed',
      `${formatCount(plan.tokensPerSecond)} tokens/s, ${short(plan.secondsPerStep)} s a step, utilisation ${share(plan.utilisation)}`,
    ],
    ['steps', plan.steps.toLocaleString('en-US')],
    ['breakdowns', `${short(plan.expectedFailures)} expected, one in ${formatHours(breakdowns.meanTime / 3600)}`],
    ['goodput', `${share(goodput)}: breakdowns and checkpoints take ${formatHours(plan.lostHours)}${lost}`],
    [
      'checkpoint',
      `best every ${formatHours(plan.interval / 3600)} (waits ${short(breakdowns.stall)} s; back after ${short(breakdowns.restart)} s)`,
    ],
    ...(spread ? [['simulated', simulatedWords(spread)] as [string, string]] : []),
  ]
}

function simulatedWords({ histories, unfinished, seconds, failures, goodput }: NonNullable<Plan['spread']>): string {
  const [low, middle, high] = [seconds.p5, seconds.p50, seconds.p95].map((each) => formatHours(each / 3600))
  const ends = unfinished === 0 ? '' : `; ${unfinished} never end`
  return `${histories} histories: done after ${middle!} (5 %: ${low!}, 95 %: ${high!}), ${short(failures.p50)} breakdowns (${short(failures.p5)} to ${short(failures.p95)}), goodput ${(goodput * 100).toFixed(1)} %${ends}`
}

const wayWords = ({ layout, memory, accumulation }: Candidate): string =>
  `sharding ${layout.sharding}, ${layout.checkpointing ? 'with' : 'without'} activation checkpointing${layout.offload ? ', optimizer state in the machine’s memory' : ''}, ${layout.microBatch} at once × ${accumulation}, ${(memory.total / GiB).toFixed(1)} GiB`

function wayRow(way: Candidate, { chosen, fits }: Plan): string[] {
  const { layout, memory, step } = way
  return [
    way === chosen && fits ? '>' : '',
    layout.sharding,
    layout.checkpointing ? 'recomputed' : 'kept',
    layout.offload ? 'host' : 'device',
    String(layout.microBatch),
    (memory.total / GiB).toFixed(1),
    way.fits ? short(step.total) : 'does not fit',
  ]
}

/** Each figure with its formula and whose it is. */
export const explanation = (figures: readonly Figure[]): string =>
  figures
    .map(({ name, value, unit, how, source }) =>
      [
        `  ${name} = ${short(value)} ${unit}`.trimEnd(),
        `      ${how}`,
        ...(source === '' ? [] : [`      [${source}]`]),
      ].join('\n'),
    )
    .join('\n')
