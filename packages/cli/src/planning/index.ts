// What `hearth plan` does with its line.
import {
  catalogue,
  findHardware,
  planCeilings,
  planTraining,
  readCatalogue,
  readMeans,
  readPlan,
  type Hardware,
  type PlanInput,
} from 'hearth/plan'
import { UsageError } from '../failure.js'
import { table } from '../table.js'
import type { Terminal } from '../terminal.js'
import { printCeilings, printMeans } from './print-ceilings.js'
import { printPlan } from './print.js'
import { measureThisMachine, THIS_MACHINE, tryStep } from './this-machine.js'

export { measureThisMachine, THIS_MACHINE } from './this-machine.js'

/** The options of the command, as they are typed there. */
export interface PlanOptions extends Omit<PlanInput, 'model' | 'histories' | 'method'> {
  budget: number | undefined
  days: number | undefined
  method: string
  catalogue: string | undefined
  simulate: number
  try: boolean
  explain: boolean
  list: boolean
  json: boolean
}

export async function answerPlan(model: string | undefined, options: PlanOptions, terminal: Terminal): Promise<void> {
  const { catalogue: file, hardware = THIS_MACHINE, simulate, try: tries, explain, list, json, ...rest } = options
  const known = file === undefined ? catalogue : readCatalogue(file)
  if (list) {
    if (json) terminal.json(known)
    else printCatalogue(known, terminal)
    return
  }
  if (model === undefined && rest.budget === undefined && rest.days === undefined)
    throw new UsageError(['say which MODEL is to be trained, or what there is: --budget, --days'], 'plan')
  if (tries && hardware !== THIS_MACHINE) throw new UsageError([`--try measures this machine, not ${hardware}`], 'plan')
  if (hardware === THIS_MACHINE && !json) terminal.note('Measuring this machine …')
  const devices = hardware === THIS_MACHINE ? { ...known, [THIS_MACHINE]: measureThisMachine() } : known
  if (model === undefined) {
    const means = readMeans({ ...given(rest), hardware }, devices)
    const ceilings = planCeilings(means, known)
    if (json) terminal.json(ceilings)
    else printCeilings(ceilings, means, terminal)
    return
  }
  const { budget, days, ...numbers } = rest
  const input = { ...given(numbers), model, hardware, histories: simulate } as PlanInput
  const request = readPlan(input, devices)
  const measuredStep = tries ? await tryStep(model, request.batch, request.length) : undefined
  const plan = planTraining({ ...request, measuredStep })
  if (json) terminal.json(plan)
  else {
    printPlan(plan, terminal, explain)
    printMeans(plan, { budget, days }, terminal)
  }
}

/** Options that were not given have no value, and leave the default. */
const given = (options: object) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

function printCatalogue(known: Readonly<Record<string, Hardware>>, terminal: Terminal): void {
  const rows = Object.keys(known).map((name) => {
    const { peak, memory, bandwidth, link, network, perMachine, watts, efficiency, price } = findHardware(name, known)
    return [
      name,
      ...[peak, memory, bandwidth, link, network, perMachine, watts, efficiency].map(String),
      String(price ?? ''),
    ]
  })
  const head = ['', 'TFLOP/s', 'GiB', 'GB/s', 'link', 'network', 'a machine', 'watts', 'efficiency', 'price/h']
  terminal.print(table(rows, head))
  for (const [name, { priceBasis }] of Object.entries(known))
    if (priceBasis !== undefined && known[name]!.price !== undefined)
      terminal.print(terminal.colors.dim(`  ${name}: ${priceBasis}`))
}
